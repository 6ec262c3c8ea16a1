"""How much each timestep counts: w(t) in the gradient w(t) (eps_hat - eps)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import WEIGHTINGS
from framework.diffusion.noise_schedule import NoiseSchedule


class Weighting(Component, ABC):
    """A weight for each timestep."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def __call__(self, schedule: NoiseSchedule, timestep: Int[Tensor, "B"]) -> Float[Tensor, "B 1 1 1"]:
        """w(t), shaped to multiply samples."""


@WEIGHTINGS.register("dreamfusion")
class DreamFusion(Weighting):
    """sigma^2, the variance of the noise (DreamFusion, arXiv:2209.14988)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Weighting.Config):
        pass

    def __call__(self, schedule: NoiseSchedule, timestep: Int[Tensor, "B"]) -> Float[Tensor, "B 1 1 1"]:
        """sigma^2."""
        return schedule.at(timestep)[1] ** 2


@WEIGHTINGS.register("uniform")
class Uniform(Weighting):
    """1 at every timestep."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Weighting.Config):
        pass

    def __call__(self, schedule: NoiseSchedule, timestep: Int[Tensor, "B"]) -> Float[Tensor, "B 1 1 1"]:
        """Ones."""
        return torch.ones_like(schedule.at(timestep)[1])


@WEIGHTINGS.register("fantasia3d")
class Fantasia3D(Weighting):
    """alpha sigma^2, which fades towards both ends (Fantasia3D, arXiv:2303.13873)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Weighting.Config):
        pass

    def __call__(self, schedule: NoiseSchedule, timestep: Int[Tensor, "B"]) -> Float[Tensor, "B 1 1 1"]:
        """alpha sigma^2."""
        alpha, sigma = schedule.at(timestep)
        return alpha * sigma**2


@WEIGHTINGS.register("noise-to-signal")
class NoiseToSignal(Weighting):
    """sigma / alpha, which makes SDS the regression of the sample to the predicted one (SDI, arXiv:2405.15891)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Weighting.Config):
        max_weight: float = 100.0
        """Upper bound, for schedules that end in pure noise."""

        def __post_init__(self) -> None:
            if self.max_weight <= 0.0:
                raise ValueError(f"max_weight must be positive, got {self.max_weight}.")

    config: Config

    def __call__(self, schedule: NoiseSchedule, timestep: Int[Tensor, "B"]) -> Float[Tensor, "B 1 1 1"]:
        """sigma / alpha, cut at the bound."""
        alpha, sigma = schedule.at(timestep)
        return (sigma / alpha.clamp(min=1e-12)).clamp(max=self.config.max_weight)
