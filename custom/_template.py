"""A background that changes from the horizon to the zenith."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.backgrounds.base import Background
from framework.core.registries import BACKGROUNDS
from framework.core.step import StepInfo


@BACKGROUNDS.register("sunset")
class Sunset(Background):
    """One colour at the horizon and another straight above and below."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Background.Config):
        horizon: tuple[float, float, float] = (1.0, 0.6, 0.3)
        """Colour of horizontal rays, in [0, 1], sRGB."""
        zenith: tuple[float, float, float] = (0.2, 0.3, 0.6)
        """Colour of vertical rays, in [0, 1], sRGB."""

    config: Config

    def color(self, directions: Float[Tensor, "B R 3"], step: StepInfo) -> Float[Tensor, "B R 3"]:
        """The two colours, mixed by how steep each ray is."""
        horizon, zenith = (directions.new_tensor(color) for color in (self.config.horizon, self.config.zenith))
        return torch.lerp(horizon, zenith, directions[..., 2:].abs())
