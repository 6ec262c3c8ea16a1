"""What density fields share: the activation and the bias that make densities of a function from points to channels.

The density is activation(raw + bias) inside the cube and zero outside.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import DENSITY_BIASES
from framework.core.step import StepInfo
from framework.geometry.channel_field import ChannelField
from framework.geometry.density_bias import DensityBias
from framework.networks.activations import activation
from framework.structures.field import Attribute, FieldQuery, FieldSample


class VolumeField(ChannelField, ABC):
    """A geometry that is a volume density; what remains to be said is `channels`."""

    @dataclass(kw_only=True, frozen=True)
    class Config(ChannelField.Config):
        density_activation: Literal["softplus", "trunc-exp"] = "softplus"
        """Turns raw values into densities."""
        density_bias: DensityBias.Config = slot(DENSITY_BIASES, default="blob")
        """Added to the raw density, so that training starts from a sensible shape."""

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self._bias = DENSITY_BIASES.build(config.density_bias)
        self._activation = activation(config.density_activation)

    def level(self, raw: Float[Tensor, "N"], positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N"]:
        """The density before its activation."""
        return raw + self._bias(positions, step)

    def shape(self, level: Float[Tensor, "N"], query: FieldQuery) -> FieldSample:
        """The density; zero outside the cube."""
        if Attribute.DENSITY not in query.wants:
            return FieldSample()
        is_inside = query.positions.abs().amax(dim=1) <= self.config.radius
        return FieldSample(density=self._activation(level) * is_inside)
