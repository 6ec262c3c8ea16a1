"""What is added to a field's raw density before its activation, so that training starts from a sensible shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core import schedule
from framework.core.component import Component
from framework.core.registries import DENSITY_BIASES
from framework.core.schedule import Schedule
from framework.core.step import StepInfo


class DensityBias(Component, ABC):
    """A fixed function of space that is added to the raw density; it has nothing to train."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def __call__(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N"]:
        """The bias at world positions."""


@DENSITY_BIASES.register("blob")
class Blob(DensityBias):
    """A soft ball in the middle, strength (1 - r / radius), negative outside (Magic3D, arXiv:2211.10440)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(DensityBias.Config):
        strength: Schedule = schedule.Constant(10.0)
        """Bias at the centre."""
        radius: Schedule = schedule.Constant(0.5)
        """Distance from the centre at which the bias passes zero, world units."""

        def __post_init__(self) -> None:
            if self.radius.bounds()[0] <= 0.0:
                raise ValueError(f"radius must stay positive, got {self.radius.bounds()[0]:g}.")

    config: Config

    def __call__(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N"]:
        """The bias at world positions."""
        strength, radius = self.config.strength(step), self.config.radius(step)
        return strength - (strength / radius) * positions.norm(dim=1)


@DENSITY_BIASES.register("constant")
class Constant(DensityBias):
    """The same bias everywhere: fog if positive, empty space if well below zero."""

    @dataclass(kw_only=True, frozen=True)
    class Config(DensityBias.Config):
        value: Schedule = schedule.Constant(-1.0)
        """The bias."""

    config: Config

    def __call__(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N"]:
        """The bias at world positions."""
        return positions.new_full((len(positions),), self.config.value(step))
