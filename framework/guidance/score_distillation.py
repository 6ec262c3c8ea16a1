"""Score distillation sampling (DreamFusion, arXiv:2209.14988)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import score_distillation_residual


@GUIDANCES.register("score-distillation")
class ScoreDistillation(Guidance):
    """Score distillation (SDS): the predicted minus the added noise (arXiv:2209.14988)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        pass

    def residual(self, sample: NoisySample, conditions: Conditions, step: StepInfo) -> Float[Tensor, "B C H W"]:
        """eps_hat - eps."""
        scale = self.config.guidance_scale(step)
        return score_distillation_residual(self.prior, sample, conditions, self.combination, scale)
