"""Short fits of networks to values that are known at many points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Int
from torch import Tensor, nn

_BETAS, _EPSILON = (0.9, 0.99), 1e-15  # as Instant-NGP trains its hash grids


def fit(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[Int[Tensor, "B"]], Tensor],
    *,
    num_points: int,
    batch_size: int,
    iterations: int,
    generator: torch.Generator,
    learning_rate: float = 1e-2,
) -> None:
    """Train `parameters` by Adam, whose learning rate falls to zero along a cosine; their gradients are gone afterwards.

    Args:
        parameters: What is trained.
        loss: Of a batch of points, given by their numbers, which are on the CPU.
        num_points: How many there are.
        batch_size: How many of them are drawn in each iteration, with replacement.
        iterations: Steps of Adam.
        generator: Source of the batches, on the CPU.
        learning_rate: At the beginning.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=_BETAS, eps=_EPSILON)
    with torch.enable_grad():
        for iteration in range(iterations):
            share = 0.5 * (1.0 + math.cos(math.pi * iteration / iterations))
            optimizer.param_groups[0]["lr"] = learning_rate * share
            optimizer.zero_grad()
            loss(torch.randint(num_points, (batch_size,), generator=generator)).backward()
            optimizer.step()
    optimizer.zero_grad()
