"""Densities on a grid and the surface in them."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh

from framework.core.errors import UserError
from framework.export.isosurface import DensityGrid, extract_surface, sample_density


def soft_ball(radius, softness=0.05, peak=50.0):
    return lambda positions: peak * torch.sigmoid((radius - positions.norm(dim=1)) / softness)


def test_the_grid_holds_the_density_at_its_vertices_in_xyz_order(make_scene, step) -> None:
    scene = make_scene(lambda positions: positions @ torch.tensor([1.0, 10.0, 100.0]) + 111.0)
    grid = sample_density(scene.geometry, resolution=5, step=step)
    assert grid.spacing == 0.5
    assert grid.values[0, 0, 0] == 0.0
    assert torch.allclose(grid.values[3, 1, 4], torch.tensor(0.5 - 5.0 + 100.0 + 111.0))


def test_between_vertices_the_logarithm_of_the_density_is_linear() -> None:
    line = torch.linspace(-2.0, 2.0, 5)
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    grid = DensityGrid(torch.expm1(6.1 + x / 2 + y + 1.5 * z) / 2.0, 2.0)
    points = torch.tensor([[0.3, -1.2, 1.7], [-2.0, 2.0, 0.1], [0.0, 3.5, 0.0]])
    expected = torch.expm1(torch.tensor([7.6, 7.25, 0.0])) / 2.0
    assert torch.allclose(grid.at(points), expected, rtol=1e-4)


def test_smoothing_takes_off_noise_and_leaves_a_flat_surface_where_it_is() -> None:
    x = torch.linspace(-1.0, 1.0, 33)[:, None, None].expand(33, 33, 33)
    noise = torch.randn(33, 33, 33, generator=torch.Generator().manual_seed(0))
    grid = DensityGrid(torch.expm1(5.0 - 3.0 * x + 0.3 * noise), 1.0)
    assert torch.equal(grid.smoothed(0.0).values, grid.values)
    inner = (slice(4, -4),) * 3  # a blur bends what lies next to the border
    error = (grid.smoothed(1.0).signed(math.expm1(4.7)) - 3.0 * (0.1 - x))[inner]
    assert error.std() < 0.2 * 0.3
    assert abs(error.mean().item()) < 0.01


def test_the_surface_of_a_soft_ball_lies_where_its_density_is_the_threshold(make_scene, step) -> None:
    scene = make_scene(soft_ball(0.6))
    grid = sample_density(scene.geometry, resolution=64, step=step)
    threshold = 50.0 / (1.0 + math.exp(2.0))  # the density at two softnesses beyond the radius
    mesh = extract_surface(grid.signed(threshold), radius=grid.radius)
    assert torch.allclose(mesh.vertices.norm(dim=1), torch.tensor(0.7), atol=0.1 * grid.spacing)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight and solid.volume > 0.0


def test_a_solid_that_reaches_the_border_is_closed_there() -> None:
    mesh = extract_surface(torch.full((8, 8, 8), 0.5), radius=1.0)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    assert mesh.vertices.abs().max() < 1.0


def test_space_that_the_renderer_skips_counts_as_empty_and_is_not_queried(make_scene, step) -> None:
    queried = []

    def density(positions):
        queried.append(positions)
        return torch.ones(len(positions))

    grid = sample_density(
        make_scene(density).geometry, resolution=9, step=step, is_visible=lambda positions: positions[:, 2] > 0.1
    )
    assert torch.cat(queried)[:, 2].min() > 0.1
    assert grid.values[:, :, :5].max() == 0.0 and grid.values[:, :, 5:].min() == 1.0


def test_densities_that_are_not_finite_are_refused(make_scene, step) -> None:
    scene = make_scene(lambda positions: positions[:, 0].log())
    with pytest.raises(UserError, match="not a finite number at"):
        sample_density(scene.geometry, resolution=8, step=step)
