"""The prompt as it stands, from every side."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from framework.core.registries import CONDITIONERS
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prior import Prior
from framework.prompts.conditioner import Conditioner, uniform_weights
from framework.structures.views import Views


@CONDITIONERS.register("plain")
class Plain(Conditioner):
    """The prompt unchanged for every view."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Conditioner.Config):
        pass

    def __init__(self, config: Config, *, prior: Prior, prompt: str) -> None:
        super().__init__(config, prior=prior, prompt=prompt)
        self._text = prior.encode_text([prompt, config.negative_prompt])

    def __call__(self, views: Views, step: StepInfo) -> Conditions:
        """Equal text for all views."""
        index = torch.arange(2, device=views.device)[:, None].expand(2, len(views))
        return Conditions(self._text[index], uniform_weights(views), views)
