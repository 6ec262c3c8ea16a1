"""Colour that the field itself emits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import MATERIALS
from framework.core.step import StepInfo
from framework.materials.albedo import albedo, check_albedo_features
from framework.materials.base import Material
from framework.networks.encodings import FrequencyEncoding
from framework.networks.mlp import MLP
from framework.structures.field import ShadingPoints


@MATERIALS.register("radiance")
class Radiance(Material):
    """Emitted colour, light or no light; optionally with a part that depends on the view direction."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Material.Config):
        view_dependent: bool = False
        """Add a small network of features and view direction to the colour."""
        hidden_dim: int = 16
        """Width of that network."""
        num_frequencies: int = 2
        """Octaves of sines in which that network sees the direction."""

        def __post_init__(self) -> None:
            if self.hidden_dim < 1 or self.num_frequencies < 1:
                sizes = f"{self.hidden_dim} and {self.num_frequencies}"
                raise ValueError(f"hidden_dim and num_frequencies must be positive, got {sizes}.")

    config: Config

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        super().__init__(config, num_features=num_features, generator=generator)
        check_albedo_features("radiance", num_features)
        self.directions: FrequencyEncoding | None = None
        if config.view_dependent:
            self.directions = FrequencyEncoding(3, num_frequencies=config.num_frequencies)
            inputs = num_features + self.directions.output_dim
            self.mlp = MLP(inputs, 3, hidden_dim=config.hidden_dim, generator=generator)

    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB."""
        if self.directions is None:
            return albedo(features)
        seen_from = self.directions(points.view_directions)
        return torch.sigmoid(features[:, :3] + self.mlp(torch.cat([features, seen_from], dim=1)))

    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point without what depends on the view direction."""
        return albedo(features)
