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
from framework.guidance.rules import bridge_residual
from framework.prompts.view_dependent import PLACEHOLDER
from framework.structures.losses import Frame


@GUIDANCES.register("bridge")
class Bridge(Guidance):
    """Bridge score: away from what half-finished renders look like, towards the prompt (SDS-Bridge, arXiv:2406.09417)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        source: str = "{prompt}, oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry, bad structure, noisy"
        """What renders look like on the way; `{prompt}` stands for the prompt."""
        guidance_scale: Schedule = Constant(100.0)
        """Factor of the whole residual."""

    config: Config

    def prepare(self) -> None:
        self.source = self.conditioner_of(self.config.source.replace(PLACEHOLDER, self.prompt))

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """s (eps(y) - eps(source))."""
        source = self.source(frame.views, frame.step).rows([0])
        return bridge_residual(self.prior, sample, conditions, source, self.config.guidance_scale(frame.step))
