"""A learned surrounding that depends on the direction of the ray."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.backgrounds.base import Background
from framework.backgrounds.random_color import check_probability, with_random_colors
from framework.core.registries import BACKGROUNDS
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo
from framework.networks.encodings import FrequencyEncoding
from framework.networks.mlp import MLP


@BACKGROUNDS.register("environment-map")
class EnvironmentMap(Background):
    """A small network of the ray's direction (DreamFusion, 3.2); some training views may get a random colour."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Background.Config):
        num_frequencies: int = 3
        """Octaves of sines in which the network sees the direction; few keep the surrounding smooth."""
        hidden_dim: int = 16
        """Width of the network's hidden layer."""
        random_probability: Schedule = Constant(0.0)
        """Share of the training views that get a random colour instead."""

        def __post_init__(self) -> None:
            if self.num_frequencies < 1 or self.hidden_dim < 1:
                sizes = f"{self.num_frequencies} and {self.hidden_dim}"
                raise ValueError(f"num_frequencies and hidden_dim must be positive, got {sizes}.")
            check_probability("random_probability", self.random_probability)

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator) -> None:
        super().__init__(config, generator=generator)
        self.encoding = FrequencyEncoding(3, num_frequencies=config.num_frequencies)
        self.mlp = MLP(self.encoding.output_dim, 3, hidden_dim=config.hidden_dim, generator=generator)

    def color(self, directions: Float[Tensor, "B R 3"], step: StepInfo) -> Float[Tensor, "B R 3"]:
        """The surrounding's colour for every ray; in evaluation never a random one."""
        colors = torch.sigmoid(self.mlp(self.encoding(directions)).to(directions.dtype))
        return with_random_colors(colors, probability=self.config.random_probability(step), step=step)
