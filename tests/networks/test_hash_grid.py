"""The hash grid as a configurable encoding."""

from __future__ import annotations

import pytest
import torch

from framework.core.schedule import Ramp
from framework.core.step import StepInfo, named_generator
from framework.networks.hash_grid import HashGrid

TORCH = {"hash-encoding": "torch"}


def make(**settings: object) -> HashGrid:
    return HashGrid(HashGrid.Config(**settings), generator=named_generator(0, "test"), backends=TORCH)


def test_a_default_grid_has_two_features_for_each_of_twelve_levels() -> None:
    encoding = make()
    features = encoding.encode(torch.rand(5, 3, generator=named_generator(1, "points")), StepInfo(0, 1))
    assert features.shape == (5, 24) and encoding.output_dim == 24
    assert features.abs().min() > 0.0


def test_levels_beyond_the_active_ones_are_zero_and_join_with_the_step() -> None:
    encoding = make(num_levels=4, active_levels=Ramp("linear", 1.0, 4.0))
    points = torch.rand(5, 3, generator=named_generator(1, "points"))
    for step, active in ((0, 1), (50, 2), (100, 4)):
        features = encoding.encode(points, StepInfo(step, 100))
        assert bool((features[:, : 2 * active] != 0.0).all())
        assert bool((features[:, 2 * active :] == 0.0).all())


def test_equal_generators_build_equal_grids() -> None:
    assert torch.equal(make(num_levels=2).grid.table, make(num_levels=2).grid.table)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_levels": 0},
        {"log2_table_size": 31},
        {"per_level_scale": 0.5},
        {"active_levels": Ramp("linear", 0.0, 4.0)},
    ],
)
def test_an_impossible_grid_is_refused_by_its_settings(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)).split("_")[-1]):
        HashGrid.Config(**settings)
