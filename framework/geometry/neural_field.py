"""Fields whose channels come from an encoding of the position and a small perceptron (Instant-NGP, arXiv:2201.05989)."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.step import StepInfo
from framework.geometry.channel_field import ChannelField
from framework.geometry.point_network import PointNetwork


class NeuralField(PointNetwork, ChannelField, ABC):
    """A field of encoded positions through a small perceptron; what its scalar means remains to be said."""

    @dataclass(kw_only=True, frozen=True)
    class Config(PointNetwork.Config, ChannelField.Config):
        pass

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self.build_network(self.num_channels, generator)

    def channels(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N C"]:
        """All channels of points in the unit cube, not activated."""
        return self.network(positions, step)
