"""Classifier score distillation (CSD, arXiv:2310.19415)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import classifier_score_residual
from framework.structures.losses import Frame


@GUIDANCES.register("classifier-score")
class ClassifierScore(Guidance):
    """Classifier score (CSD): what the prompt adds to the prediction, without the generative rest (arXiv:2310.19415).

    Its `guidance_scale` has no meaning in the rule, only in previews; `weight` scales the gradient.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        unwanted: str = ""
        """What the result should not be, as a prompt of its own; read while `unwanted_weight` is not 0."""
        unwanted_weight: Schedule = Constant(0.0)
        """Strength of moving away from `unwanted`; the paper lets it fall over the run."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.unwanted and self.unwanted_weight.bounds() != (0.0, 0.0):
                raise ValueError("unwanted_weight needs a prompt to move away from: set `unwanted`.")

    config: Config

    def prepare(self) -> None:
        self.unwanted = self.conditioner_of(self.config.unwanted)

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps(y) - eps(0) + w (eps(0) - eps(unwanted))."""
        weight = self.config.unwanted_weight(frame.step)
        unwanted = self.unwanted(frame.views, frame.step).rows([0]) if weight != 0.0 else None
        return classifier_score_residual(self.prior, sample, conditions, unwanted, weight)
