"""The shape guide against its formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.core.registries import SHAPE_INITIALIZATIONS
from framework.losses.shape_guide import ShapeGuide
from framework.structures.field import FieldSample
from framework.structures.losses import Frame

Make = Callable[..., Frame]


def guide(**settings: Any) -> ShapeGuide:
    sphere = SHAPE_INITIALIZATIONS.find("sphere").Config(radius=1.2)
    return ShapeGuide(ShapeGuide.Config(shape=sphere, **settings))


def cost(make_frame: Make, make_field: Any, loss: ShapeGuide, density: Callable[[Tensor], Tensor]) -> Tensor:
    field = make_field(lambda positions: FieldSample(density=density(positions)))
    return loss(make_frame(torch.ones(1, 1), field=field)).losses["shape-guide"]


def test_it_is_the_mean_of_the_weighted_cross_entropy(make_frame: Make, make_field: Any) -> None:
    loss = guide(width=0.5, thickness=0.1, num_points=200_000)
    value = cost(make_frame, make_field, loss, lambda positions: torch.full((len(positions),), 7.0))
    # The same integral over the cube of half side 2, on a regular grid.
    line = (torch.arange(64, dtype=torch.float64) + 0.5) / 16.0 - 2.0
    distance = torch.cartesian_prod(line, line, line).norm(dim=1) - 1.2
    entropy = torch.where(distance < 0.0, -math.log(-math.expm1(-0.7)), 0.7)
    expected = ((1.0 - torch.exp(-distance.square() / 0.5)) * entropy).mean()
    assert value.item() == pytest.approx(expected.item(), rel=0.01)


def test_the_guide_itself_costs_nothing_and_its_opposite_much(make_frame: Make, make_field: Any) -> None:
    def like(positions: Tensor) -> Tensor:
        return 1e3 * (positions.norm(dim=1) < 1.2).float()

    right = cost(make_frame, make_field, guide(), like)
    wrong = cost(make_frame, make_field, guide(), lambda positions: 1e3 - like(positions))
    assert right.item() < 1e-4 and wrong.item() > 5.0


def test_density_is_driven_up_inside_and_down_outside_even_where_there_is_none(
    make_frame: Make, make_field: Any
) -> None:
    inside, outside = torch.tensor(0.5, requires_grad=True), torch.tensor(0.5, requires_grad=True)

    def density(positions: Tensor) -> Tensor:
        return torch.where(positions.norm(dim=1) < 1.2, inside, outside)

    cost(make_frame, make_field, guide(), density).backward()
    assert inside.grad is not None and outside.grad is not None and inside.grad < 0.0 < outside.grad
    empty = cost(make_frame, make_field, guide(), lambda positions: torch.zeros(len(positions)))
    assert bool(empty.isfinite())


@pytest.mark.parametrize("settings", [{"width": 0.0}, {"thickness": -1.0}, {"num_points": 0}])
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ShapeGuide.Config(**settings)
