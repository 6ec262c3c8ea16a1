"""Noise-free score distillation (NFSD, arXiv:2310.17590)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import noise_free_residual
from framework.structures.losses import Frame

BAD_IMAGES = "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, dark, low-resolution, gloomy"
"""The negative prompt of the paper."""


@GUIDANCES.register("noise-free")
class NoiseFree(Guidance):
    """Noise-free score (NFSD): the pull to good images and to the prompt, without predicted noise (arXiv:2310.17590)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        guidance_scale: Schedule = Constant(7.5)
        """Strength s of the prompt."""
        unwanted: str = BAD_IMAGES
        """A prompt of bad images; the difference to it shows where good ones lie."""
        low_fraction: float = 0.2
        """Below this share of the timesteps a prediction holds so little noise that it is taken as it is."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0.0 <= self.low_fraction <= 1.0:
                raise ValueError(f"low_fraction: expected a share in [0, 1], got {self.low_fraction}.")

    config: Config

    def prepare(self) -> None:
        self.unwanted = self.conditioner_of(self.config.unwanted)

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """delta + s (eps(y) - eps(0))."""
        return noise_free_residual(
            self.prior,
            sample,
            conditions,
            self.unwanted(frame.views, frame.step).rows([0]),
            sample.timestep < self.config.low_fraction * len(self.prior.schedule),
            self.config.guidance_scale(frame.step),
        )
