"""Short fits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from framework.geometry.fitting import fit


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_line_is_found_from_its_points_even_without_a_wish_for_gradients() -> None:
    places = torch.linspace(-1.0, 1.0, 100)
    slope = nn.Parameter(torch.zeros(2))

    def loss(index: Tensor) -> Tensor:
        assert index.shape == (16,) and int(index.max()) < 100
        return (slope[0] * places[index] + slope[1] - (2.0 * places[index] - 1.0)).square().mean()

    with torch.no_grad():
        fit([slope], loss, num_points=100, batch_size=16, iterations=300, generator=generator(), learning_rate=0.1)
    torch.testing.assert_close(slope.detach(), torch.tensor([2.0, -1.0]), atol=1e-3, rtol=0.0)
    assert slope.grad is None


def test_the_learning_rate_ends_at_zero() -> None:
    """Adam steps by the learning rate where the gradient is constant, so steps show it."""
    value, seen = nn.Parameter(torch.zeros(())), []

    def loss(index: Tensor) -> Tensor:
        seen.append(float(value.detach()))
        return -value

    fit([value], loss, num_points=1, batch_size=1, iterations=10, generator=generator(), learning_rate=0.1)
    steps = torch.tensor([*seen, float(value.detach())]).diff()
    expected = 0.05 * (1.0 + torch.cos(torch.pi * torch.arange(10) / 10))
    torch.testing.assert_close(steps, expected, atol=1e-5, rtol=0.0)
