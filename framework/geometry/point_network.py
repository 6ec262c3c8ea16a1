"""What geometries with a network share: encoded positions through a small perceptron (Instant-NGP, arXiv:2201.05989).

Fields and surfaces call its parts alike, so that parameter paths stay the same from stage to stage and weights can be
handed on.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import ENCODINGS
from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.networks.base import Encoding
from framework.networks.mlp import MLP
from framework.ops.backends import AUTO
from framework.ops.torch.precision import at_least_float32


class PointNetwork(Geometry, ABC):
    """A geometry with a network from positions to channels; what these mean is for the subclasses to say."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Geometry.Config):
        encoding: Encoding.Config = slot(ENCODINGS, default="hash-grid")
        """Encoding of the position."""
        hidden_dim: int = 32
        """Width of the perceptron's hidden layers."""
        num_hidden_layers: int = 1
        """Hidden layers of the perceptron."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.hidden_dim < 1 or self.num_hidden_layers < 0:
                raise ValueError(
                    "hidden_dim must be positive and num_hidden_layers not negative, "
                    f"got {self.hidden_dim} and {self.num_hidden_layers}."
                )

    config: Config

    def build_network(self, num_channels: int, generator: torch.Generator) -> None:
        """Add the encoding and a perceptron with `num_channels` outputs, with initial weights from `generator`."""
        self.encoding = ENCODINGS.build(self.config.encoding, generator=generator, backends=self.backends)
        self.mlp = MLP(
            self.encoding.output_dim,
            num_channels,
            hidden_dim=self.config.hidden_dim,
            num_hidden_layers=self.config.num_hidden_layers,
            generator=generator,
            backend=self.backends.get("mlp", AUTO),
        )

    def network(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N C"]:
        """All channels of points in the unit cube [0, 1]^3."""
        return at_least_float32(self.mlp(self.encoding.encode(positions, step)))  # autocast: half precision
