"""The contract of position encodings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component
from framework.core.step import StepInfo


class Encoding(Component, nn.Module, ABC):
    """Maps positions in the unit cube to features."""

    output_dim: int

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        """Build with initial weights from `generator`; `backends` names requested implementations by operation."""
        super().__init__()
        self.config = config
        self.backends = backends

    @abstractmethod
    def encode(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N D"]:
        """Features of positions in [0, 1]^3; `D` is `output_dim`."""
