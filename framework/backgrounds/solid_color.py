"""One colour in all directions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.backgrounds.base import Background
from framework.backgrounds.random_color import check_probability, with_random_colors
from framework.core.registries import BACKGROUNDS
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo

_LEARNED_MARGIN = 0.01


@BACKGROUNDS.register("solid-color")
class SolidColor(Background):
    """One colour, fixed or learned; a share of the training views may get a random one."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Background.Config):
        color: tuple[float, float, float] = (1.0, 1.0, 1.0)
        """The colour, or where a learned one begins; in [0, 1], sRGB."""
        is_learned: bool = False
        """Whether the colour is trained."""
        random_probability: Schedule = Constant(0.0)
        """Share of the training views that get a random colour instead."""

        def __post_init__(self) -> None:
            if not all(0.0 <= value <= 1.0 for value in self.color):
                raise ValueError(f"color must lie in [0, 1], got {self.color}.")
            check_probability("random_probability", self.random_probability)

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator) -> None:
        super().__init__(config, generator=generator)
        self.logit: nn.Parameter | None = None
        if config.is_learned:
            start = torch.tensor(config.color).clamp(_LEARNED_MARGIN, 1.0 - _LEARNED_MARGIN)
            self.logit = nn.Parameter(torch.logit(start))

    def color(self, directions: Float[Tensor, "B R 3"], step: StepInfo) -> Float[Tensor, "B R 3"]:
        """The colour for every ray; in evaluation never a random one."""
        color = directions.new_tensor(self.config.color) if self.logit is None else torch.sigmoid(self.logit)
        return with_random_colors(
            color.expand_as(directions), probability=self.config.random_probability(step), step=step
        )
