"""Sines and cosines as an encoding that a field can be configured with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import ENCODINGS
from framework.core.step import StepInfo
from framework.networks.base import Encoding
from framework.networks.encodings import FrequencyEncoding


@ENCODINGS.register("frequency")
class Frequency(Encoding):
    """Sines and cosines of the position at octaves of pi (NeRF, arXiv:2003.08934); nothing to train."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Encoding.Config):
        num_frequencies: int = 6
        """Octaves, the coarsest having one period across the cube."""

        def __post_init__(self) -> None:
            if self.num_frequencies < 1:
                raise ValueError(f"num_frequencies must be positive, got {self.num_frequencies}.")

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self.sines = FrequencyEncoding(3, num_frequencies=config.num_frequencies)
        self.output_dim = self.sines.output_dim

    def encode(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N D"]:
        """Features of positions in [0, 1]^3."""
        return self.sines(2.0 * positions - 1.0)
