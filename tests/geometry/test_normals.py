"""Normals from differences and derivatives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.step import named_generator
from framework.geometry.normals import analytic_normals, finite_difference_normals, unit

DIRECTION = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
POINTS = torch.rand(32, 3, generator=named_generator(0, "points"), dtype=torch.float64) - 0.5


def plane(positions: Tensor) -> Tensor:
    return -positions @ DIRECTION


def ball(positions: Tensor) -> Tensor:
    return 1.0 - (positions * positions).sum(dim=1)


@pytest.mark.parametrize("epsilon", [0.001, 0.1])
def test_differences_on_a_linear_field_give_its_direction_at_any_spacing(epsilon: float) -> None:
    normals = finite_difference_normals(plane, POINTS, epsilon=epsilon)
    expected = F.normalize(DIRECTION, dim=0).expand(32, 3)
    torch.testing.assert_close(normals, expected, atol=1e-6, rtol=0.0)


def test_derivatives_of_a_ball_point_outwards() -> None:
    torch.testing.assert_close(analytic_normals(ball, POINTS), F.normalize(POINTS, dim=1), atol=1e-4, rtol=0.0)


def test_differences_of_a_ball_point_outwards() -> None:
    normals = finite_difference_normals(ball, POINTS, epsilon=0.01)
    torch.testing.assert_close(normals, F.normalize(POINTS, dim=1), atol=1e-4, rtol=0.0)


def test_both_kinds_let_a_loss_reach_the_field() -> None:
    for normals in (analytic_normals, lambda field, at: finite_difference_normals(field, at, epsilon=0.01)):
        stretch = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)

        def loss(stretch: Tensor, normals: object = normals) -> Tensor:
            return normals(lambda at: -(stretch * at * at).sum(dim=1), POINTS)[:, 0].sum()  # type: ignore[operator]

        assert torch.autograd.gradcheck(loss, (stretch,))


def test_a_flat_field_has_no_normal_and_bounded_derivatives() -> None:
    slope = torch.zeros(4, 3, requires_grad=True)
    normals = unit(slope)
    normals.sum().backward()
    assert torch.equal(normals, torch.zeros(4, 3))
    assert slope.grad is not None and slope.grad.abs().max() <= 1000.001


def test_derivatives_are_available_in_inference_mode() -> None:
    with torch.inference_mode():
        normals = analytic_normals(ball, POINTS.clone())
    torch.testing.assert_close(normals.clone(), F.normalize(POINTS, dim=1), atol=1e-4, rtol=0.0)
