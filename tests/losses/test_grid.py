"""Total variation of grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from framework.core.registries import GEOMETRIES
from framework.core.step import StepInfo, named_generator
from framework.losses.grid import GridVariation, variation
from framework.structures.field import Attribute, FieldQuery, FieldSample
from framework.structures.losses import Frame

Make = Callable[..., Frame]


def ramp(*slopes: float) -> torch.Tensor:
    """A grid of 4 x 5 x 6 values that change by these amounts along its axes."""
    d, h, w = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), torch.arange(6.0), indexing="ij")
    return (slopes[0] * d + slopes[1] * h + slopes[2] * w)[None]


def test_a_ramp_varies_by_the_length_of_its_slope_and_a_constant_grid_not_at_all() -> None:
    assert variation(ramp(2.0, -3.0, 6.0)).item() == pytest.approx(7.0, rel=1e-4)
    assert variation(ramp(0.0, 0.0, 0.0)).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("of", "expected"), [("shape", 1.0), ("features", 4.0), ("all", 3.0)])
def test_the_shape_or_the_features_can_be_left_alone(
    make_frame: Make, make_field: Any, of: Any, expected: float
) -> None:
    grid = torch.cat([ramp(1.0, 0.0, 0.0), ramp(0.0, 3.0, 0.0), ramp(0.0, 0.0, 5.0)])
    frame = make_frame(torch.ones(2, 2), field=make_field(lambda _: FieldSample(grid=grid)))
    loss = GridVariation(GridVariation.Config(of=of))(frame).losses["grid-variation"]
    assert loss.item() == pytest.approx(expected, rel=1e-3)


def test_a_voxel_grid_answers_with_the_values_at_its_points_and_is_smoothed(make_frame: Make) -> None:
    generator = named_generator(0, "grid")
    geometry: Any = GEOMETRIES.build(
        GEOMETRIES.find("voxel-grid").Config(resolution=5), generator=generator, backends={}
    )
    frame = make_frame(torch.ones(2, 2), field=geometry)
    loss = GridVariation(GridVariation.Config())
    with torch.no_grad():
        geometry.values.uniform_(-1.0, 1.0, generator=generator)
    optimizer = torch.optim.Adam([geometry.values], lr=0.05)
    before = loss(frame).losses["grid-variation"].item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(frame).losses["grid-variation"].backward()
        optimizer.step()
    assert loss(frame).losses["grid-variation"].item() < 0.3 * before
    point = torch.tensor([[1.0, -1.0, 0.5]])  # x last, y first, z three quarters of the way
    at = geometry.query(FieldQuery(point, StepInfo(0, 1), frozenset({Attribute.GRID, Attribute.FEATURES})))
    torch.testing.assert_close(at.features[0], at.grid[1:, 3, 0, 4])
