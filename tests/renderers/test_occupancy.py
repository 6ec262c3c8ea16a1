"""The occupancy grid finds what is there, keeps it for a while, and resumes exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from framework.core.step import StepInfo
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid, OccupancySettings

Make = Callable[..., Scene]


def centers(resolution: int) -> torch.Tensor:
    """Distance of each cell's centre from the origin, (R, R, R)."""
    axis = (torch.arange(resolution) + 0.5) * (2.0 / resolution) - 1.0
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)


def test_every_cell_is_sampled_before_the_first_update() -> None:
    assert bool(OccupancyGrid().is_occupied.all())


def test_cells_inside_a_ball_are_occupied_and_those_outside_are_not(make_solid: Make) -> None:
    scene = make_solid(ball=0.6, cells=16)
    scene.occupancy.update(scene.geometry, StepInfo(0, 100))
    half_diagonal = 3.0**0.5 / 16
    assert bool(scene.occupancy.is_occupied[centers(16) < 0.6 - half_diagonal].all())
    assert not bool(scene.occupancy.is_occupied[centers(16) > 0.6 + half_diagonal].any())


def test_axes_of_the_grid_are_x_y_z(make_solid: Make) -> None:
    scene = make_solid(ball=0.45, center_x=0.5, cells=8)
    scene.occupancy.update(scene.geometry, StepInfo(0, 100))
    x, y, z = scene.occupancy.is_occupied.nonzero().float().mean(dim=0).tolist()
    assert x == pytest.approx(5.5, abs=0.5) and y == pytest.approx(3.5, abs=0.5) and z == pytest.approx(3.5, abs=0.5)


def test_nothing_changes_between_updates_or_in_evaluation(make_solid: Make) -> None:
    scene = make_solid(ball=0.6)
    for step in (StepInfo(1, 100), StepInfo(16, 100, mode="validate")):
        scene.occupancy.update(scene.geometry, step)
        assert bool(scene.occupancy.is_occupied.all()) and not bool(scene.occupancy.density.any())


def test_what_is_gone_is_forgotten_gradually(make_solid: Make) -> None:
    full, empty = make_solid(density=1.0), make_solid(density=0.0)
    grid = OccupancyGrid(OccupancySettings(resolution=4, decay=0.5))
    grid.update(full.geometry, StepInfo(0, 100))
    for update in (1, 2):
        grid.update(empty.geometry, StepInfo(16 * update, 100))
        torch.testing.assert_close(grid.density, torch.full((4, 4, 4), 0.5**update))


@pytest.mark.parametrize("density", [0.0, 1e-6])
def test_a_grid_is_never_empty(make_solid: Make, density: float) -> None:
    scene = make_solid(density=density, ball=0.6)
    scene.occupancy.update(scene.geometry, StepInfo(0, 100))
    assert bool(scene.occupancy.is_occupied.any())


@pytest.mark.parametrize("stopped_at", [15, 17])
def test_a_resumed_grid_equals_an_uninterrupted_one_bit_for_bit(make_scene: Make, stopped_at: int) -> None:
    scene = make_scene(cells=6)
    through, resumed = OccupancyGrid(scene.occupancy.settings), OccupancyGrid(scene.occupancy.settings)
    for step in range(40):
        if step == stopped_at:
            fresh = OccupancyGrid(scene.occupancy.settings)
            fresh.load_state_dict(resumed.state_dict())
            resumed = fresh
        for grid in (through, resumed):
            grid.update(scene.geometry, StepInfo(step, 100))
    assert torch.equal(through.density, resumed.density)
    assert torch.equal(through.is_occupied, resumed.is_occupied)
    assert 0.0 < through.occupied_share() < 1.0


def test_it_holds_no_parameters() -> None:
    assert not list(OccupancyGrid().parameters())


@pytest.mark.parametrize("settings", [{"resolution": 0}, {"every": 0}, {"decay": 1.0}, {"min_opacity": 0.0}])
def test_impossible_settings_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        OccupancySettings(**settings)
