"""Pictures of each kind, of shapes whose images are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.core.registries import RENDERERS
from framework.core.step import StepInfo
from framework.renderers.base import Renderer, Scene
from framework.structures.cameras import Cameras
from framework.viewer.pictures import KINDS, MOST_ELONGATED, camera, draw

STEP = StepInfo(3, 10, mode="validate")
OPENCV = torch.tensor([1.0, -1.0, -1.0])


def from_front(size: int, aspect: float = 1.0) -> Cameras:
    """A camera at distance 3 before the front."""
    one = torch.tensor([1.0])
    pose = Cameras.orbit(0.0 * one, 0.0 * one, 3.0 * one, 0.8 * one, height=4, width=4).camera_to_world[0]
    return camera(pose[:3, :3] * OPENCV, pose[:3, 3], 0.8, size=size, aspect=aspect)


@pytest.fixture
def renderer() -> Renderer:
    config = RENDERERS.find("volume").Config(samples_per_ray=192)
    built: Renderer = RENDERERS.build(config, backends={"ray-sampling": "torch", "compositing": "torch"})
    return built


def middle(picture: Tensor) -> list[float]:
    height, width, _ = picture.shape
    found: list[float] = (picture[height // 2, width // 2] / 255.0).tolist()
    return found


def test_a_camera_is_the_one_whose_rotation_was_given_in_opencv_axes() -> None:
    one = torch.tensor([1.0])
    expected = Cameras.orbit(0.7 * one, 0.3 * one, 2.0 * one, 0.8 * one, height=8, width=8)
    rotation, position = expected.camera_to_world[0, :3, :3] * OPENCV, expected.positions[0]
    built = camera(rotation, position, 0.8, size=8, aspect=1.0)
    assert torch.allclose(built.camera_to_world, expected.camera_to_world) and torch.equal(built.fov_y, expected.fov_y)


@pytest.mark.parametrize(("aspect", "shape"), [(1.0, (64, 64)), (1.5, (64, 96)), (0.5, (128, 64)), (9.0, (64, 160))])
def test_the_shorter_side_has_the_size(aspect: float, shape: tuple[int, int]) -> None:
    cameras = from_front(64, aspect)
    assert (cameras.height, cameras.width) == shape and max(shape) <= MOST_ELONGATED * 64


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_the_background_in_colour_and_black_in_all_others(
    make_solid: Callable[..., Scene], renderer: Renderer, kind: str
) -> None:
    picture = draw(kind, from_front(16), make_solid(ball=0.5), renderer, STEP)
    assert picture.shape == (16, 16, 3) and picture.dtype == torch.uint8
    assert (picture[0, 0] == (255 if kind == "rgb" else 0)).all()


def test_a_ball_has_its_colour_normal_depth_and_opacity(make_solid: Callable[..., Scene], renderer: Renderer) -> None:
    scene = make_solid(ball=0.5)
    shown = {kind: middle(draw(kind, from_front(17), scene, renderer, STEP)) for kind in KINDS}
    assert shown["rgb"] == pytest.approx([0.5] * 3, abs=0.01)
    assert shown["normal"] == pytest.approx([1.0, 0.5, 0.5], abs=0.03)
    assert shown["opacity"] == pytest.approx([1.0] * 3, abs=0.01)
    # Its near side is 2.5 away; the cube reaches from 3 - sqrt(3) to 3 + sqrt(3).
    half = math.sqrt(3.0)
    assert shown["depth"] == pytest.approx([(0.5 + half) / (2.0 * half)] * 3, abs=0.02)
