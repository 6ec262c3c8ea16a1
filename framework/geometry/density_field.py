"""A density field: an encoding of the position and a small perceptron."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import ENCODINGS, GEOMETRIES
from framework.core.step import StepInfo
from framework.geometry.volume_field import VolumeField
from framework.networks.base import Encoding
from framework.networks.mlp import MLP
from framework.ops.backends import AUTO
from framework.ops.torch.precision import at_least_float32


@GEOMETRIES.register("density-field")
class DensityField(VolumeField):
    """A neural density field: encoded positions through a small perceptron (Instant-NGP's NeRF)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(VolumeField.Config):
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

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self.encoding = ENCODINGS.build(config.encoding, generator=generator, backends=self.backends)
        self.mlp = MLP(
            self.encoding.output_dim,
            self.num_channels,
            hidden_dim=config.hidden_dim,
            num_hidden_layers=config.num_hidden_layers,
            generator=generator,
            backend=self.backends.get("mlp", AUTO),
        )

    def channels(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N C"]:
        """All channels of points in the unit cube, not activated."""
        return at_least_float32(self.mlp(self.encoding.encode(positions, step)))  # autocast: half precision
