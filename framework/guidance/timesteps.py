"""Which timesteps score distillation looks at.

Timesteps are integers in [0, T); a fraction is t / T. The two ends of a range are schedules, so that a run can begin with
rough shapes (high noise) and end with details.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import TIMESTEPS
from framework.core.schedule import Constant, Ramp, Schedule
from framework.core.step import StepInfo


class Timesteps(Component, ABC):
    """Draws the timesteps of a step."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def draw(
        self, batch_size: int, *, num_timesteps: int, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """Timesteps of `batch_size` samples, on the generator's device."""


@TIMESTEPS.register("uniform")
class Uniform(Timesteps):
    """Uniform over a range, by default nearly all of it (DreamFusion, arXiv:2209.14988)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Timesteps.Config):
        min_fraction: Schedule = Constant(0.02)
        """Lower end of the range."""
        max_fraction: Schedule = Constant(0.98)
        """Upper end of the range."""

        def __post_init__(self) -> None:
            check_fractions(self.min_fraction, self.max_fraction)

    config: Config

    def draw(
        self, batch_size: int, *, num_timesteps: int, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """One draw for each sample."""
        first, last = self.config.min_fraction(step), self.config.max_fraction(step)
        return draw_between(first, last, batch_size, num_timesteps=num_timesteps, generator=generator)


@TIMESTEPS.register("annealed")
class Annealed(Timesteps):
    """Uniform below an upper end that falls over the run: shape first, details last (ProlificDreamer, arXiv:2305.16213)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Timesteps.Config):
        min_fraction: Schedule = Constant(0.02)
        """Lower end of the range."""
        max_fraction: Schedule = Ramp("linear", 0.98, 0.5, during=(0.0, 0.67))
        """Upper end of the range."""

        def __post_init__(self) -> None:
            check_fractions(self.min_fraction, self.max_fraction)

    config: Config

    def draw(
        self, batch_size: int, *, num_timesteps: int, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """One draw for each sample."""
        first, last = self.config.min_fraction(step), self.config.max_fraction(step)
        return draw_between(first, last, batch_size, num_timesteps=num_timesteps, generator=generator)


def check_fractions(low: Schedule, high: Schedule) -> None:
    """Raises `ValueError` where the ends of a range leave [0, 1]; crossing ends are one timestep, not an error."""
    for name, schedule in (("min_fraction", low), ("max_fraction", high)):
        bounds = schedule.bounds()
        if not 0.0 <= bounds[0] <= bounds[1] <= 1.0:
            raise ValueError(f"{name}: timestep fractions lie in [0, 1], got values from {bounds[0]} to {bounds[1]}.")
    if low.bounds()[0] > high.bounds()[1]:
        raise ValueError(
            f"min_fraction starts at {low.bounds()[0]}, above max_fraction, which ends at {high.bounds()[1]}."
        )


def draw_between(
    first: float, last: float, batch_size: int, *, num_timesteps: int, generator: torch.Generator
) -> Int[Tensor, "B"]:
    """Uniform whole timesteps from `first * T` to `last * T`, both ends included."""
    low = min(int(first * num_timesteps), num_timesteps - 1)
    high = min(max(int(last * num_timesteps), low), num_timesteps - 1)
    return torch.randint(low, high + 1, (batch_size,), generator=generator, device=generator.device)
