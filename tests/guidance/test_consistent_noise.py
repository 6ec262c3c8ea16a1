"""Noise that sticks to the surface: normal and independent in each view, equal for a point in all of them."""

from __future__ import annotations

import math

import pytest
import torch
from gaussians import Gaussians

from framework.core.step import StepInfo
from framework.guidance.consistent_noise import ConsistentNoise
from framework.structures.cameras import Cameras
from framework.structures.losses import Frame
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

SIZE, DISTANCE, FOV = 64, 2.5, 0.8
SHAPE = torch.Size([1, 4, SIZE, SIZE])
PIXEL = 2.0 * DISTANCE * math.tan(0.5 * FOV) / SIZE
"""Side of a pixel on the wall."""


def noise_of(frame: Frame, **options) -> torch.Tensor:
    prior = Gaussians(Gaussians.Config(size=SIZE))
    return ConsistentNoise(ConsistentNoise.Config(**options), prior=prior, name="guidance.main").surface_noise(
        SHAPE, frame
    )


def wall(right: float = 0.0, *, step: int = 0, seed: int = 0, roll: bool = False, opacity: float = 1.0) -> Frame:
    """A view along -x of the plane x = 0, from a camera moved to its right."""
    camera = Cameras.orbit(*(torch.tensor([value]) for value in (0.0, 0.0, DISTANCE, FOV)), height=SIZE, width=SIZE)
    matrix = camera.camera_to_world.clone()
    matrix[:, :3, 3] += right * matrix[:, :3, 0]
    if roll:  # A quarter turn about the line of sight.
        matrix[:, :, :2] = torch.stack([matrix[:, :, 1], -matrix[:, :, 0]], dim=-1)
    camera = Cameras(matrix, camera.fov_y, SIZE, SIZE)
    depth = (-matrix[:, 0, 3, None] / camera.rays().directions[:, 0][None]).view(1, SIZE, SIZE, 1)
    one = torch.full_like(depth, opacity)
    render = RenderOutput(rgb=one.expand(1, SIZE, SIZE, 3), opacity=one, depth=depth * one, renderer="none")
    return Frame(torch.nn.Module(), Views.of_cameras(camera), render, StepInfo(step, 10, seed=seed))


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.mark.parametrize("opacity", [1.0, 0.0])
def test_every_pixel_is_unit_normal_and_independent_of_its_neighbours(opacity):
    noise = torch.cat([noise_of(wall(seed=seed, opacity=opacity)) for seed in range(8)])
    assert abs(noise.mean().item()) < 0.01
    assert noise.var().item() == pytest.approx(1.0, abs=0.02)
    assert noise.pow(4).mean().item() == pytest.approx(3.0, abs=0.1)  # As a normal distribution has it.
    assert noise.abs().lt(1.0).float().mean().item() == pytest.approx(0.6827, abs=0.01)
    assert abs(correlation(noise[..., 1:], noise[..., :-1])) < 0.05
    assert abs(correlation(noise[..., 1:, :], noise[..., :-1, :])) < 0.05
    assert abs(correlation(noise[:, 1:], noise[:, :-1])) < 0.05  # Nor of its other channels.


def test_a_point_of_the_surface_has_its_noise_in_every_view():
    first = noise_of(wall())
    moved = noise_of(wall(5.0 * PIXEL))
    assert correlation(first[..., 5:], moved[..., :-5]) > 0.9
    assert abs(correlation(first, moved)) < 0.05
    rolled = noise_of(wall(roll=True))
    assert correlation(first.rot90(-1, (2, 3)), rolled) > 0.9


def test_half_a_pixel_aside_it_is_between():
    """Half of the cells are the neighbour's."""
    first, moved = noise_of(wall()), noise_of(wall(0.5 * PIXEL))
    assert correlation(first, moved) == pytest.approx(0.5, abs=0.12)


def test_it_stays_unless_it_is_to_be_drawn_anew():
    first = noise_of(wall())
    assert torch.equal(first, noise_of(wall(step=9)))
    assert abs(correlation(first, noise_of(wall(seed=1)))) < 0.05
    assert torch.equal(noise_of(wall(step=4), redraw_every=5), noise_of(wall(step=0), redraw_every=5))
    assert abs(correlation(noise_of(wall(step=5), redraw_every=5), noise_of(wall(step=4), redraw_every=5))) < 0.05


def test_cells_larger_than_pixels_leave_the_others_the_noise_of_the_step():
    frame = wall()
    noise = noise_of(frame, cell_size=4.0 * PIXEL)
    assert noise.var().item() == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(noise, noise_of(wall(step=1), cell_size=4.0 * PIXEL))


def test_it_says_what_it_reads_of_the_render():
    assert ConsistentNoise.needs == {Buffer.DEPTH, Buffer.OPACITY}


@pytest.mark.parametrize("wrong", [{"cell_size": 0.0}, {"oversampling": 0}, {"redraw_every": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        ConsistentNoise.Config(**wrong)
