"""Random background colours for some of the training views, so that an object cannot hide in its background."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.schedule import Schedule
from framework.core.step import StepInfo


def with_random_colors(colors: Float[Tensor, "B R 3"], *, probability: float, step: StepInfo) -> Float[Tensor, "B R 3"]:
    """`colors`, but in training one uniformly drawn colour for each view that is chosen with `probability`."""
    if probability <= 0.0 or not step.is_training:
        return colors
    generator = step.batch_generator("background", colors.device)
    draws = step.own(torch.rand(step.rows(len(colors)), 4, generator=generator, device=colors.device))
    is_random = draws[:, None, :1] < probability  # (B, 1, 1)
    return torch.where(is_random, draws[:, None, 1:], colors)


def check_probability(name: str, schedule: Schedule) -> None:
    """Raise ValueError unless the config field `name` stays in [0, 1] over the whole run."""
    low, high = schedule.bounds()
    if not 0.0 <= low <= high <= 1.0:
        raise ValueError(f"{name} must stay in [0, 1], got values from {low:g} to {high:g}.")
