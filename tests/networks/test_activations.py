"""Activations by name."""

from __future__ import annotations

import math

import pytest
import torch

from framework.networks.activations import activation, trunc_exp


def test_truncated_exponential_is_exact_and_its_derivative_stops_at_fifteen() -> None:
    x = torch.tensor([-3.0, 0.0, 10.0, 20.0], requires_grad=True)
    y = trunc_exp(x)
    torch.testing.assert_close(y, torch.exp(x))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([math.exp(-3.0), 1.0, math.exp(10.0), math.exp(15.0)]))


def test_truncated_exponential_is_differentiable_twice_below_its_limit() -> None:
    x = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(trunc_exp, x) and torch.autograd.gradgradcheck(trunc_exp, x)


def test_truncated_exponential_of_half_precision_does_not_overflow() -> None:
    y = trunc_exp(torch.tensor([14.0], dtype=torch.float16))
    assert y.dtype == torch.float32 and abs(float(y) - math.exp(14.0)) < 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", 1.0),
        ("relu", 1.0),
        ("sigmoid", 0.731059),
        ("softplus", 1.313262),
        ("tanh", 0.761594),
        ("trunc-exp", math.e),
    ],
)
def test_each_name_stands_for_its_function(name: str, expected: float) -> None:
    assert float(activation(name)(torch.tensor(1.0))) == pytest.approx(expected, abs=1e-5)


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(ValueError, match=r"No activation is called 'sofplus'\. Did you mean 'softplus'\?"):
        activation("sofplus")
