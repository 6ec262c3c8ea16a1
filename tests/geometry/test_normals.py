"""Slopes from differences and derivatives, and unit vectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.step import named_generator
from framework.geometry.normals import analytic_slope, finite_difference_slope, unit

DIRECTION = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
POINTS = torch.rand(32, 3, generator=named_generator(0, "points"), dtype=torch.float64) - 0.5


def plane(positions: Tensor) -> Tensor:
    return -positions @ DIRECTION


def ball(positions: Tensor) -> Tensor:
    return 1.0 - (positions * positions).sum(dim=1)


@pytest.mark.parametrize("epsilon", [0.001, 0.1])
def test_differences_on_a_linear_field_are_its_gradient_at_any_spacing(epsilon: float) -> None:
    slope = finite_difference_slope(plane, POINTS, epsilon=epsilon)
    torch.testing.assert_close(slope, -DIRECTION.expand(32, 3), atol=1e-9, rtol=0.0)


def test_slopes_of_a_ball_are_its_gradient() -> None:
    torch.testing.assert_close(analytic_slope(ball, POINTS), -2.0 * POINTS)
    torch.testing.assert_close(finite_difference_slope(ball, POINTS, epsilon=0.01), -2.0 * POINTS)


def test_both_kinds_let_a_loss_reach_the_field() -> None:
    for slope in (analytic_slope, lambda field, at: finite_difference_slope(field, at, epsilon=0.01)):
        stretch = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)

        def loss(stretch: Tensor, slope: Any = slope) -> Tensor:
            return unit(slope(lambda at: -(stretch * at * at).sum(dim=1), POINTS))[:, 0].sum()

        assert torch.autograd.gradcheck(loss, (stretch,))


def test_unit_vectors_keep_their_direction_down_to_short_ones() -> None:
    torch.testing.assert_close(unit(DIRECTION[None])[0], F.normalize(DIRECTION, dim=0), atol=1e-6, rtol=0.0)
    assert unit(1e-6 * DIRECTION[None]).norm() < 0.01


def test_a_flat_field_has_no_normal_and_bounded_derivatives() -> None:
    slope = torch.zeros(4, 3, requires_grad=True)
    normals = unit(slope)
    normals.sum().backward()
    assert torch.equal(normals, torch.zeros(4, 3))
    assert slope.grad is not None and slope.grad.abs().max() <= 1000.001


def test_derivatives_are_available_in_inference_mode() -> None:
    with torch.inference_mode():
        slope = analytic_slope(ball, POINTS.clone())
    torch.testing.assert_close(slope.clone(), -2.0 * POINTS)
