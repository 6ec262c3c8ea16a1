"""The contract of materials: colour of points from features, normals, light and view direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component
from framework.core.step import StepInfo
from framework.structures.field import Attribute, ShadingPoints
from framework.structures.views import Lights


class Material(Component, nn.Module, ABC):
    """How a surface looks; `needs` are the attributes it asks of the geometry."""

    needs: frozenset[Attribute] = frozenset({Attribute.FEATURES})

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        """Build for a geometry with `num_features` channels; `generator` draws initial weights."""
        super().__init__()
        self.config = config

    def needs_under(self, lights: Lights) -> frozenset[Attribute]:
        """The part of `needs` that these lights call for: normals cost as much as the rest of a render."""
        return self.needs

    @abstractmethod
    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB."""

    @abstractmethod
    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point without light, in [0, 1], sRGB: what is baked into a texture."""
