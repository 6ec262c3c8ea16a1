"""The prompt together with the camera, for priors that were trained with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from framework.core.registries import CONDITIONERS
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits
from framework.prompts.conditioner import Conditioner, uniform_weights
from framework.structures.views import Views


@CONDITIONERS.register("camera")
class CameraConditioned(Conditioner):
    """The prompt without view words; the denoiser is told the camera itself (MVDream, arXiv:2308.16512)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Conditioner.Config):
        in_unconditional: bool = True
        """Whether the unconditional row is told the camera too, so that guidance strengthens the text alone."""

    def __init__(self, config: Config, *, prior: Prior, prompt: str) -> None:
        """Encode the texts."""
        super().__init__(config, prior=prior, prompt=prompt)
        self._text = prior.encode_text([prompt, config.negative_prompt])
        self._present = torch.tensor([True, config.in_unconditional], device=prior.device)

    @classmethod
    def misfit(cls, traits: Traits) -> str | None:
        """A prior that knows no cameras would give every side the same gradient."""
        if traits.takes_camera:
            return None
        return (
            "'camera' tells the prior where the camera is, but this prior was not trained with cameras. Use "
            "'view-dependent', which says it in words, or a prior that is told: toybox, oracle, or a UNet with a "
            "projection for the camera."
        )

    def __call__(self, views: Views, step: StepInfo) -> Conditions:
        """Equal text for all views, each with its camera."""
        index = torch.arange(2, device=views.device)[:, None].expand(2, len(views))
        present = self._present[:, None].expand(2, len(views))
        return Conditions(self._text[index], uniform_weights(views), views, present)
