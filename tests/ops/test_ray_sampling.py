"""Samples along rays through an occupancy grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.ops.ray_sampling import sample_occupied
from framework.structures.cameras import Cameras
from framework.structures.rays import Rays, RaySamples


def ray(origin: tuple[float, float, float], direction: tuple[float, float, float], device: torch.device) -> Rays:
    """A single ray."""
    unit = torch.nn.functional.normalize(torch.tensor([direction]), dim=-1)
    return Rays(torch.tensor([origin]).to(device), unit.to(device))


def camera_rays(device: torch.device) -> Rays:
    """Rays of three cameras around the cube, many of which miss it."""
    angles = torch.tensor([0.3, 1.9, 4.0])
    distance, fov_y = torch.full((3,), 3.0), torch.full((3,), 1.0)
    return Cameras.orbit(angles, 0.2 * angles, distance, fov_y, height=20, width=20).rays().to(device)


def full(device: torch.device, resolution: int = 8) -> Tensor:
    """A grid in which every cell is occupied."""
    return torch.ones(resolution, resolution, resolution, dtype=torch.bool, device=device)


def equal(first: RaySamples, second: RaySamples) -> bool:
    """Whether two samplings are the same, bit for bit."""
    names = ("ray_index", "starts", "ends", "offsets")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


def test_a_ray_through_the_full_cube_has_touching_intervals_from_face_to_face(
    backend: str, device: torch.device
) -> None:
    rays = ray((-3.0, 0.1, 0.2), (1.0, 0.0, 0.0), device)
    samples = sample_occupied(
        rays, full(device), radius=1.0, step_length=0.125, max_samples_per_ray=100, backend=backend
    )
    assert samples.offsets.tolist() == [0, 16]
    torch.testing.assert_close(samples.starts.cpu(), 2.0 + 0.125 * torch.arange(16))
    torch.testing.assert_close(samples.ends.cpu(), 2.125 + 0.125 * torch.arange(16))


def test_a_diagonal_ray_crosses_the_whole_diagonal(backend: str, device: torch.device) -> None:
    rays = ray((-2.0, -2.0, -2.0), (1.0, 1.0, 1.0), device)
    samples = sample_occupied(
        rays, full(device), radius=1.0, step_length=0.01, max_samples_per_ray=1000, backend=backend
    )
    assert abs(float(samples.lengths.sum()) - 2.0 * math.sqrt(3.0)) < 0.02


def test_only_intervals_in_occupied_cells_are_kept(backend: str, device: torch.device) -> None:
    occupancy = torch.zeros(8, 8, 8, dtype=torch.bool, device=device)
    occupancy[2, 4, 4] = True  # x in [-0.5, -0.25), y and z in [0, 0.25)
    rays = ray((-3.0, 0.1, 0.2), (1.0, 0.0, 0.0), device)
    samples = sample_occupied(rays, occupancy, radius=1.0, step_length=0.0625, max_samples_per_ray=100, backend=backend)
    torch.testing.assert_close(samples.starts.cpu(), 2.5 + 0.0625 * torch.arange(4))
    positions = samples.positions(rays).cpu()
    assert bool(((positions[:, 0] > -0.5) & (positions[:, 0] < -0.25)).all())


def test_axes_of_the_grid_are_x_y_z(backend: str, device: torch.device) -> None:
    for axis in range(3):
        cell = [0, 0, 0]
        cell[axis] = 3
        occupancy = torch.zeros(4, 4, 4, dtype=torch.bool, device=device)
        occupancy[tuple(cell)] = True
        origin = [-0.75, -0.75, -0.75]
        origin[axis] = -2.0
        direction = [0.0, 0.0, 0.0]
        direction[axis] = 1.0
        rays = Rays(torch.tensor([origin], device=device), torch.tensor([direction], device=device))
        samples = sample_occupied(rays, occupancy, radius=1.0, step_length=0.25, max_samples_per_ray=9, backend=backend)
        torch.testing.assert_close(samples.starts.cpu(), torch.tensor([2.5, 2.75]))


def test_jitter_moves_and_near_cuts_the_intervals(backend: str, device: torch.device) -> None:
    rays = ray((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), device)
    jitter = torch.tensor([0.5], device=device)
    samples = sample_occupied(
        rays,
        full(device),
        radius=1.0,
        step_length=0.1,
        near=0.33,
        jitter=jitter,
        max_samples_per_ray=99,
        backend=backend,
    )
    torch.testing.assert_close(samples.starts.cpu(), 0.38 + 0.1 * torch.arange(6), rtol=0, atol=1e-6)


def test_each_ray_keeps_its_first_intervals_up_to_the_limit(backend: str, device: torch.device) -> None:
    rays = camera_rays(device)
    everything = sample_occupied(
        rays, full(device), radius=1.0, step_length=0.1, max_samples_per_ray=99, backend=backend
    )
    few = sample_occupied(rays, full(device), radius=1.0, step_length=0.1, max_samples_per_ray=3, backend=backend)
    counts = everything.offsets.diff()
    assert torch.equal(few.offsets.diff(), counts.clamp(max=3))
    hit = counts.nonzero()[:, 0]
    assert torch.equal(few.starts[few.offsets[hit]], everything.starts[everything.offsets[hit]])


def test_rays_that_miss_and_grids_that_are_empty_give_no_samples(backend: str, device: torch.device) -> None:
    away = ray((-3.0, 0.0, 0.0), (-1.0, 0.0, 0.0), device)
    beside = ray((-3.0, 1.5, 0.0), (1.0, 0.0, 0.0), device)
    nobody = Rays(torch.zeros(0, 3, device=device), torch.zeros(0, 3, device=device))
    nothing = torch.zeros(8, 8, 8, dtype=torch.bool, device=device)
    cases = [(away, full(device)), (beside, full(device)), (nobody, full(device)), (camera_rays(device), nothing)]
    for rays, occupancy in cases:
        samples = sample_occupied(rays, occupancy, radius=1.0, step_length=0.1, max_samples_per_ray=9, backend=backend)
        assert samples.num_rays == len(rays)
        assert len(samples.starts) == 0 and not samples.offsets.any()


@pytest.mark.parametrize("limit", [6, 1000])
def test_warp_keeps_exactly_the_samples_that_torch_keeps(
    warp_backend: str, device: torch.device, generator: torch.Generator, limit: int
) -> None:
    rays = camera_rays(device)
    occupancy = (torch.rand(24, 24, 24, generator=generator) < 0.3).to(device)
    jitter = torch.rand(len(rays), generator=generator).to(device)
    first, second = (
        sample_occupied(
            rays,
            occupancy,
            radius=0.9,
            step_length=0.03,
            near=2.5,
            jitter=jitter,
            max_samples_per_ray=limit,
            backend=name,
        )
        for name in (warp_backend, "torch")
    )
    assert len(first.starts) > 1000
    assert equal(first, second)


def test_settings_that_cannot_be_are_refused() -> None:
    rays = ray((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), torch.device("cpu"))
    grid = full(torch.device("cpu"))
    with pytest.raises(ValueError, match=r"positive radius, step_length and max_samples_per_ray, not 1\.0, 0\.0 and 9"):
        sample_occupied(rays, grid, radius=1.0, step_length=0.0, max_samples_per_ray=9)
    with pytest.raises(ValueError, match="2 jitters do not fit 1 rays"):
        sample_occupied(rays, grid, radius=1.0, step_length=0.1, jitter=torch.zeros(2), max_samples_per_ray=9)
