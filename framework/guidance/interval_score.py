"""Interval score matching (LucidDreamer, arXiv:2311.11284)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import GUIDANCES, PERTURBATIONS, WEIGHTINGS
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.perturbation import Inversion, Perturbation
from framework.guidance.rules import interval_score_residual
from framework.guidance.weighting import Weighting
from framework.structures.losses import Frame


@GUIDANCES.register("interval-score")
class IntervalScore(Guidance):
    """Interval score (ISM): the prompt's prediction against the one a short interval earlier (arXiv:2311.11284)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        guidance_scale: Schedule = Constant(7.5)
        """Strength s of the prompt in uncond + s (cond - uncond)."""
        perturbation: Perturbation.Config = slot(PERTURBATIONS, default="ddim-inversion")
        """Where the noise comes from; `num_steps` counts all evaluations but the two at the end of the interval."""
        weighting: Weighting.Config = slot(WEIGHTINGS, default="noise-to-signal")
        """How much each noise level counts."""
        interval_fraction: Schedule = Constant(0.05)
        """Length of the interval as a share of all timesteps; the paper lets it shrink over the run."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if isinstance(self.perturbation, Inversion.Config) and self.perturbation.num_steps < 2:
                raise ValueError("perturbation.num_steps: an interval has two ends, so at least 2 steps lead there.")
            if not 0.0 <= self.interval_fraction.bounds()[0] <= self.interval_fraction.bounds()[1] <= 1.0:
                raise ValueError("interval_fraction: expected shares in [0, 1].")

    config: Config

    def partner(self, timestep: Int[Tensor, "B"], step: StepInfo) -> Int[Tensor, "B"]:
        """The earlier end of the interval."""
        length = round(self.config.interval_fraction(step) * len(self.prior.schedule))
        return (timestep - length).clamp(min=0)

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat(x_t) - eps(x_s; 0)."""
        scale = self.config.guidance_scale(frame.step)
        return interval_score_residual(self.prior, sample, conditions, self.combination, scale)
