"""Parts: placement, and the hulls that scenes are fitted and culled by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from framework.toybox import parts
from framework.toybox.parts import Part, bounding_radius, hull_spheres
from framework.toybox.primitives import local_distance

RED = (1.0, 0.0, 0.0)
PARTS = {
    "box": parts.box((0.1, 0.2, 0.3), (0.4, 0.3, 0.2), RED, rounding=0.05, rotation=parts.turn("x", 30)),
    "cylinder": parts.cylinder((0, 0, 0), 0.3, 0.5, RED, rounding=0.04, rotation=parts.ALONG_Y),
    "frustum": parts.frustum((0, 0.1, 0), 0.4, 0.1, 0.4, RED),
    "limb": parts.limb((-0.4, 0, 0), (0.2, 0.3, 0.4), 0.2, RED, end_radius=0.1),
    "ring": parts.ring((0, 0, 0), 0.5, 0.1, RED, rotation=parts.ALONG_X),
    "arc": parts.ring((0, 0, 0), 0.5, 0.1, RED, half_angle=0.5 * math.pi),
    "tube": parts.tube((0, 0, 0), 0.5, 0.08, 0.4, RED, rounding=0.02),
    "prism": parts.prism((0, 0, 0), 0.5, 0.2, 0.3, 0.4, RED, rotation=parts.turn("z", 90)),
    "pyramid": parts.pyramid((0, 0, 0), 0.5, 0.0, 0.4, RED),
    "bowl": parts.bowl((0, 0, 0), 0.6, 0.1, 0.05, RED),
    "dome": parts.dome((0, 0, 0), 0.6, 0.1, RED, rounding=0.05),
    "star": parts.star((0, 0, 0), 0.6, 0.3, 0.2, RED, rounding=0.03),
    "heart": parts.heart((0, 0, 0), 0.6, 0.2, RED, rounding=0.05),
}
each_part = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())


def world_distance(part: Part, points: np.ndarray) -> np.ndarray:
    local = torch.from_numpy((points - np.asarray(part.center)) @ part.rotation)
    return local_distance(part.kind, local[None], torch.tensor([part.parameters], dtype=torch.float64))[0].numpy()


def inner_points(part: Part) -> np.ndarray:
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (60000, 3))
    return points[world_distance(part, points) < 0]


@each_part
def test_the_hull_touches_the_box_about_the_part(part: Part) -> None:
    inside, spheres = inner_points(part), hull_spheres(part)
    low, high = (spheres[:, :3] - spheres[:, 3:]).min(axis=0), (spheres[:, :3] + spheres[:, 3:]).max(axis=0)
    assert np.all(inside.min(axis=0) > low - 0.02) and np.all(inside.max(axis=0) < high + 0.02)
    assert np.all(inside.min(axis=0) < low + 0.1) and np.all(inside.max(axis=0) > high - 0.1)


@each_part
def test_the_bounding_ball_holds_the_part(part: Part) -> None:
    reach = np.linalg.norm(inner_points(part) - np.asarray(part.center), axis=1).max()
    assert reach < bounding_radius(part) < 1.3 * reach


@each_part
def test_a_transformed_part_has_the_scaled_distance_field(part: Part) -> None:
    rotation, shift, scale = parts.turn("y", 40) @ parts.turn("z", 70), np.array([0.1, -0.2, 0.3]), 0.6
    points = np.random.default_rng(1).uniform(-1, 1, (200, 3))
    moved = part.transformed(rotation, shift, scale)
    images = (points * scale + shift) @ rotation.T
    np.testing.assert_allclose(world_distance(moved, images), scale * world_distance(part, points), atol=1e-9)


def test_a_limb_ends_at_the_given_points_with_the_given_radii() -> None:
    part = parts.limb((0, 0, 0), (1, 0, 0), 0.3, RED, end_radius=0.2)
    np.testing.assert_allclose(world_distance(part, np.array([[-0.3, 0, 0], [1.2, 0, 0]])), 0.0, atol=1e-12)


def test_a_star_stands_upright_and_faces_the_front() -> None:
    inside = inner_points(parts.star((0, 0, 0), 0.6, 0.3, 0.2, RED))
    assert inside[:, 2].max() > 0.55 > -inside[:, 2].min()  # one tip up, two down
    assert np.abs(inside[:, 0]).max() < 0.2


def test_turn_refuses_an_unknown_axis() -> None:
    with pytest.raises(ValueError, match="'x', 'y' or 'z'"):
        parts.turn("w", 10)
