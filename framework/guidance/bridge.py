"""Score distillation as a bridge between image distributions (arXiv:2406.09417)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import bridge_residual, score_distillation_residual
from framework.prompts.view_dependent import PLACEHOLDER
from framework.structures.losses import Frame


@GUIDANCES.register("bridge")
class Bridge(Guidance):
    """Bridge score: away from what half-finished renders look like, towards the prompt (SDS-Bridge, arXiv:2406.09417).

    The paper's two stages: plain score distillation until there is something to look at, the bridge from then on.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        source: str = "{prompt}, oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry, bad structure, noisy"
        """What renders look like on the way; `{prompt}` stands for the prompt."""
        target: str = "{prompt}, detailed high resolution, high quality, sharp"
        """What they shall look like in the second stage."""
        start: float = 0.5
        """Share of the run after which the bridge begins; score distillation before."""
        guidance_scale: Schedule = Constant(40.0)
        """Strength of the prompt in the first stage, factor of the whole residual in the second."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0.0 <= self.start <= 1.0:
                raise ValueError(f"start: expected a share of the run in [0, 1], got {self.start}.")

    config: Config

    def prepare(self) -> None:
        self.source = self.conditioner_of(self.config.source.replace(PLACEHOLDER, self.prompt))
        self.target = self.conditioner_of(self.config.target.replace(PLACEHOLDER, self.prompt))

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat - eps at first, s (eps(target) - eps(source)) later."""
        scale = self.config.guidance_scale(frame.step)
        if frame.step.progress < self.config.start:
            return score_distillation_residual(self.prior, sample, conditions, self.combination, scale)
        source, target = (asked(frame.views, frame.step).rows([0]) for asked in (self.source, self.target))
        target = target.showing(conditions.image, conditions.control)
        return bridge_residual(self.prior, sample, target, source, scale)
