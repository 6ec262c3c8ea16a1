"""Score distillation via inversion (SDI, arXiv:2405.15891)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import GUIDANCES, PERTURBATIONS, WEIGHTINGS
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.perturbation import Perturbation
from framework.guidance.rules import score_distillation_residual
from framework.guidance.weighting import Weighting
from framework.structures.losses import Frame


@GUIDANCES.register("inversion-score")
class InversionScore(Guidance):
    """Inversion score (SDI): SDS with the noise that the prior itself would start from (arXiv:2405.15891)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        guidance_scale: Schedule = Constant(7.5)
        """Strength s of the prompt in uncond + s (cond - uncond)."""
        perturbation: Perturbation.Config = slot(PERTURBATIONS, default="negated-inversion")
        """Where the noise comes from."""
        weighting: Weighting.Config = slot(WEIGHTINGS, default="noise-to-signal")
        """How much each noise level counts; sigma / alpha regresses the sample to the predicted one."""

    config: Config

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat - eps_inverted."""
        scale = self.config.guidance_scale(frame.step)
        return score_distillation_residual(self.prior, sample, conditions, self.combination, scale)
