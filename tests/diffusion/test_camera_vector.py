"""Ways to tell a camera: what they say, and that they tell views apart."""

from __future__ import annotations

import math

import pytest
import torch

from framework.diffusion.camera_vector import CAMERA_ENCODINGS, FAR, NEAR
from framework.structures.views import Views


@pytest.fixture
def views() -> Views:
    angles = torch.tensor([0.0, 2.0])
    return Views.orbit(angles, 0.2 * angles, angles + 2.0, 0.6 + 0.1 * angles, height=8, width=8)


@pytest.mark.parametrize("name", CAMERA_ENCODINGS)
def test_an_encoding_has_its_length_and_tells_views_apart(views: Views, name: str) -> None:
    encoding = CAMERA_ENCODINGS[name]
    vectors = encoding.encode(views)
    assert vectors.shape == (2, encoding.dim)
    assert not torch.allclose(vectors[0], vectors[1], atol=0.1)
    assert vectors.norm(dim=1).min() > 0.5  # Zeros stand for a camera that is not told.


def test_extrinsics_are_the_camera_to_world_matrix_row_by_row(views: Views) -> None:
    vector = CAMERA_ENCODINGS["extrinsics"].encode(views)[0]
    assert torch.equal(vector.reshape(4, 4), views.cameras.camera_to_world[0])
    assert vector.reshape(4, 4)[:3, 3].tolist() == pytest.approx([2.0, 0.0, 0.0], abs=1e-6)


def test_the_projection_brings_the_origin_to_the_middle_of_the_image(views: Views) -> None:
    matrices = CAMERA_ENCODINGS["projection"].encode(views).reshape(2, 4, 4)
    clip = matrices @ torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert torch.allclose(clip[:, :2], torch.zeros(2, 2), atol=1e-5)
    assert torch.allclose(clip[:, 3], views.distance, atol=1e-5)  # w is the depth in front of the camera.
    depth = (clip[:, 2] / clip[:, 3]).tolist()
    expected = [(FAR + NEAR - 2.0 * FAR * NEAR / float(distance)) / (FAR - NEAR) for distance in views.distance]
    assert depth == pytest.approx(expected, abs=1e-4)


def test_spherical_is_elevation_sine_and_cosine_of_the_azimuth_and_distance(views: Views) -> None:
    vector = CAMERA_ENCODINGS["spherical"].encode(views)[1]
    assert vector.tolist() == pytest.approx([0.4, math.sin(2.0), math.cos(2.0), 4.0], abs=1e-6)
