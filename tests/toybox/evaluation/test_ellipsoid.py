"""The best-fitting ellipsoid."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import Bool
from torch import Tensor

from framework.toybox.evaluation.ellipsoid import Ellipsoid, best_ellipsoid
from framework.toybox.evaluation.voxels import intersection_over_union

Cells = Callable[[str], Bool[Tensor, "R R R"]]


def test_an_ellipsoid_is_its_own_best_fit() -> None:
    axes = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    inverse = torch.diag(1 / torch.tensor([0.3, 0.5, 0.7])) @ axes.T
    cells = Ellipsoid(torch.tensor([0.1, -0.05, 0.0]), inverse).cells(64)
    assert intersection_over_union(best_ellipsoid(cells).cells(64), cells) > 0.97


@pytest.mark.parametrize("prompt", ["a cube", "a chair", "a rocket"])
def test_no_ellipsoid_nearby_does_better(prompt: str, cells: Cells) -> None:
    solid = cells(prompt)
    best = best_ellipsoid(solid)
    reached = intersection_over_union(best.cells(64), solid)
    for scale in (0.9, 1.1):
        other = Ellipsoid(best.center, best.inverse * scale)
        assert intersection_over_union(other.cells(64), solid) < reached
    for axis in torch.eye(3):
        other = Ellipsoid(best.center + 0.05 * axis, best.inverse)
        assert intersection_over_union(other.cells(64), solid) < reached + 0.01


def test_a_cube_overlaps_with_its_best_ball_as_computed_by_hand() -> None:
    # A ball of volume equal to the cube's, which is near the optimum, shares 0.84 of either: 0.84 / 1.16.
    cells = torch.zeros(64, 64, 64, dtype=torch.bool)
    cells[16:48, 16:48, 16:48] = True
    assert intersection_over_union(best_ellipsoid(cells).cells(64), cells) == pytest.approx(0.73, abs=0.015)


def test_nothing_has_no_ellipsoid() -> None:
    with pytest.raises(ValueError, match="no cell is occupied"):
        best_ellipsoid(torch.zeros(8, 8, 8, dtype=torch.bool))
