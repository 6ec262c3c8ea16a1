"""Which timesteps score distillation looks at.

Timesteps are integers in [0, T); a fraction is t / T. The two ends of a range are schedules, so that a run can begin with
rough shapes (high noise) and end with details.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import TIMESTEPS
from framework.core.schedule import Constant, Ramp, Schedule
from framework.core.step import StepInfo
from framework.diffusion.noise_schedule import NoiseSchedule


class Timesteps(Component, ABC):
    """Draws the timesteps of a step."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def draw(
        self, batch_size: int, *, schedule: NoiseSchedule, step: StepInfo, generator: torch.Generator
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
        self, batch_size: int, *, schedule: NoiseSchedule, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """One draw for each sample."""
        first, last = self.config.min_fraction(step), self.config.max_fraction(step)
        return draw_between(first, last, batch_size, num_timesteps=len(schedule), generator=generator)


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
        self, batch_size: int, *, schedule: NoiseSchedule, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """One draw for each sample."""
        first, last = self.config.min_fraction(step), self.config.max_fraction(step)
        return draw_between(first, last, batch_size, num_timesteps=len(schedule), generator=generator)


@TIMESTEPS.register("square-root")
class SquareRoot(Timesteps):
    """One timestep for all samples of a step, max - (max - min) sqrt(progress) (HiFA, arXiv:2305.18766)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Timesteps.Config):
        min_fraction: float = 0.3
        """Where the run ends."""
        max_fraction: float = 0.98
        """Where it begins."""

        def __post_init__(self) -> None:
            check_fractions(Constant(self.min_fraction), Constant(self.max_fraction))

    config: Config

    def draw(
        self, batch_size: int, *, schedule: NoiseSchedule, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """The step's own timestep; nothing is drawn."""
        first, last = self.config.min_fraction, self.config.max_fraction
        fraction = last - (last - first) * step.progress**0.5
        return shared_timestep(round(fraction * len(schedule)), batch_size, len(schedule), generator.device)


@TIMESTEPS.register("prioritized")
class Prioritized(Timesteps):
    """Timesteps that never rise and stay longest where content is made (DreamTime, arXiv:2306.12422, eq. 6 to 8).

    A step's timestep t cuts the density W(t) so that the share of it above t is the share of the run done. W is the
    noise-to-signal ratio times a plateau from `low` to `high` with a Gaussian flank on either side.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Timesteps.Config):
        low: float = 0.5
        """Lower end of the plateau, as a fraction of all timesteps."""
        high: float = 0.8
        """Upper end of the plateau."""
        low_deviation: float = 0.1
        """Standard deviation of the lower flank."""
        high_deviation: float = 0.3
        """Standard deviation of the upper flank."""

        def __post_init__(self) -> None:
            if not 0.0 <= self.low <= self.high <= 1.0:
                raise ValueError(f"expected 0 <= low <= high <= 1, got {self.low} and {self.high}.")
            if min(self.low_deviation, self.high_deviation) <= 0.0:
                raise ValueError("low_deviation and high_deviation must be positive.")

    config: Config

    def draw(
        self, batch_size: int, *, schedule: NoiseSchedule, step: StepInfo, generator: torch.Generator
    ) -> Int[Tensor, "B"]:
        """The step's own timestep; nothing is drawn."""
        above = self.density(schedule).flip(0).cumsum(0).flip(0)  # falls from 1 to the last timestep's own share
        timestep = int((above - step.progress).abs().argmin())
        return shared_timestep(timestep, batch_size, len(schedule), generator.device)

    def density(self, schedule: NoiseSchedule) -> Float[Tensor, "T"]:
        """W(t), which sums to 1."""
        config = self.config
        time = torch.arange(len(schedule), dtype=torch.float64) / len(schedule)
        below = ((config.low - time).clamp(min=0.0) / config.low_deviation).square()
        above = ((time - config.high).clamp(min=0.0) / config.high_deviation).square()
        ratio = (schedule.sigmas / schedule.alphas.clamp(min=1e-3)).double().cpu()
        weights = ratio * torch.exp(-0.5 * (below + above))
        return weights / weights.sum()


def shared_timestep(timestep: int, batch_size: int, num_timesteps: int, device: torch.device) -> Int[Tensor, "B"]:
    """The timestep, or the nearest that exists, for every sample."""
    whole = min(max(timestep, 0), num_timesteps - 1)
    return torch.full((batch_size,), whole, dtype=torch.long, device=device)


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
