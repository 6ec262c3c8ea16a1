"""The contract of backgrounds: colour of rays that leave the scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component
from framework.core.step import StepInfo


class Background(Component, nn.Module, ABC):
    """What is seen behind the object."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, generator: torch.Generator) -> None:
        """Build with initial weights from `generator`."""
        super().__init__()
        self.config = config

    @abstractmethod
    def color(self, directions: Float[Tensor, "B R 3"], step: StepInfo) -> Float[Tensor, "B R 3"]:
        """Colour in [0, 1], sRGB, of unit ray directions in world space; R rays for each of B views."""
