"""The threshold whose silhouettes match the rendered opacity."""

from __future__ import annotations

import math

import pytest
import torch

from framework.core.errors import UserError
from framework.export.isosurface import DensityGrid, sample_density
from framework.export.threshold import choose_threshold, highest_density, silhouette_views
from framework.structures.rays import Rays


def radial_grid(function, resolution=96):
    line = torch.linspace(-1.0, 1.0, resolution)
    radius = torch.stack(torch.meshgrid(line, line, line, indexing="ij")).norm(dim=0)
    return DensityGrid(function(radius), 1.0)


def test_the_highest_density_along_a_ray_is_that_where_it_passes_closest_to_the_centre() -> None:
    grid = radial_grid(lambda radius: (2.0 - radius).clamp_min(0.0))
    origins = torch.tensor([[3.0, 0.0, 0.4], [0.0, 0.3, -2.5], [3.0, 3.0, 3.0]])
    directions = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    peaks = highest_density(grid, Rays(origins, directions))
    assert torch.allclose(peaks, torch.tensor([1.6, 1.7, 0.0]), atol=0.01)


def test_a_ray_does_not_see_what_lies_behind_its_origin() -> None:
    grid = radial_grid(lambda radius: (2.0 - radius).clamp_min(0.0))
    peaks = highest_density(grid, Rays(torch.tensor([[0.5, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])))
    assert torch.allclose(peaks, torch.tensor([1.5]), atol=0.02)


def test_the_threshold_of_a_soft_ball_gives_the_radius_at_which_its_render_turns_opaque() -> None:
    grid = radial_grid(lambda radius: 40.0 * torch.exp(-(((radius - 0.2) / 0.25).clamp_min(0.0) ** 2)))
    views = silhouette_views(1.0)
    rays = views.cameras.rays()
    closest = torch.linalg.cross(rays.origins, rays.directions).norm(dim=1)
    opacity = (closest < 0.6).float().reshape(8, 64, 64, 1)
    choice = choose_threshold(grid, views, opacity)
    surface_radius = 0.2 + 0.25 * math.sqrt(math.log(40.0 / choice.value))
    assert abs(surface_radius - 0.6) < grid.spacing
    assert choice.iou > 0.99
    assert choice.ious.max() == choice.iou
    assert (choice.candidates.diff() >= 0.0).all()


def test_a_hard_solid_gets_a_threshold_well_between_empty_and_full() -> None:
    grid = radial_grid(lambda radius: 100.0 * (radius < 0.5))
    views = silhouette_views(1.0)
    rays = views.cameras.rays()
    is_opaque = torch.linalg.cross(rays.origins, rays.directions).norm(dim=1) < 0.5
    choice = choose_threshold(grid, views, is_opaque.float().reshape(8, 64, 64, 1))
    assert 0.5 < choice.value < 90.0


def test_the_volume_renderer_and_the_threshold_agree_on_a_foggy_ball(make_scene, renderer, step) -> None:
    # Dense only far inside: a threshold from a rule of thumb (say 10) would lose a third of what is seen.
    scene = make_scene(lambda positions: 12.0 * (0.75 - positions.norm(dim=1)).clamp_min(0.0) ** 1.5)
    grid = sample_density(scene.geometry, resolution=64, step=step)
    views = silhouette_views(1.0)
    opacity = renderer.render(views, scene, frozenset(), step).opacity
    choice = choose_threshold(grid, views, opacity)
    assert choice.iou > 0.98
    rays = views.cameras.rays()
    closest = torch.linalg.cross(rays.origins, rays.directions).norm(dim=1)
    seen_radius = closest[opacity.reshape(-1) > 0.5].max().item()
    assert abs(0.75 - (choice.value / 12.0) ** (2.0 / 3.0) - seen_radius) < 1.5 * grid.spacing


def test_a_field_that_shows_nothing_is_refused_with_its_range_and_a_way_out() -> None:
    grid = radial_grid(lambda radius: 0.03 * (radius < 0.5), resolution=16)
    with pytest.raises(UserError, match=r"between 0 and 0\.03.*opacity of 0\.02.*export\.threshold"):
        choose_threshold(grid, silhouette_views(1.0), torch.full((8, 64, 64, 1), 0.02))


def test_the_views_show_all_of_the_ball_that_bounds_the_object() -> None:
    views = silhouette_views(2.0)
    rays = views.cameras.rays()
    distance = torch.linalg.cross(rays.origins, rays.directions).norm(dim=1).reshape(8, 64, 64)
    border = torch.cat([distance[:, 0], distance[:, -1], distance[:, :, 0], distance[:, :, -1]])
    assert border.min() > 2.0
