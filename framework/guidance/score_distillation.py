"""Score distillation sampling (DreamFusion, arXiv:2209.14988)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import score_distillation_residual
from framework.structures.losses import Frame


@GUIDANCES.register("score-distillation")
class ScoreDistillation(Guidance):
    """Score distillation (SDS): the predicted minus the added noise (arXiv:2209.14988)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        subtract_noise: bool = True
        """Whether the added noise is subtracted, which changes nothing on average but calms the gradient (SJC, 4.3)."""

    config: Config

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat - eps."""
        scale = self.config.guidance_scale(frame.step)
        residual = score_distillation_residual(self.prior, sample, conditions, self.combination, scale)
        return residual if self.config.subtract_noise else residual + sample.noise
