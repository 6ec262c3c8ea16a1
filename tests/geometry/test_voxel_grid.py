"""The dense grid interpolates what stands on its points."""

from __future__ import annotations

import torch

from framework.core.registries import DENSITY_BIASES
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator
from framework.geometry.voxel_grid import VoxelGrid
from framework.structures.field import Attribute, FieldQuery

SIDE = 3


def make() -> VoxelGrid:
    """Feature c at grid point (x, y, z) is component c of (x, y, z)."""
    bias = DENSITY_BIASES.find("constant").Config(value=Constant(0.0))
    config = VoxelGrid.Config(resolution=SIDE, density_bias=bias)
    grid = VoxelGrid(config, generator=named_generator(0, "grid"), backends={"hash-encoding": "torch"})
    index = torch.arange(SIDE**3)
    with torch.no_grad():
        grid.values[: SIDE**3, 1:] = torch.stack([index % SIDE, index // SIDE % SIDE, index // SIDE**2], dim=1).float()
    return grid


def features(grid: VoxelGrid, positions: torch.Tensor) -> torch.Tensor:
    sample = grid.query(FieldQuery(positions, StepInfo(0, 1), frozenset({Attribute.FEATURES})))
    assert sample.features is not None
    return sample.features


def test_the_outermost_grid_points_lie_on_the_faces_of_the_cube() -> None:
    axis = torch.linspace(-1.0, 1.0, SIDE)
    corners = torch.cartesian_prod(axis, axis, axis)
    torch.testing.assert_close(features(make(), corners), corners + 1.0, atol=1e-5, rtol=0.0)


def test_between_grid_points_values_are_trilinear() -> None:
    positions = 2.0 * torch.rand(64, 3, generator=named_generator(1, "points")) - 1.0
    torch.testing.assert_close(features(make(), positions), positions + 1.0, atol=1e-5, rtol=0.0)
