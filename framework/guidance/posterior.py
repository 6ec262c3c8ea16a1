"""Posterior distillation sampling (arXiv:2311.13831)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.editing import Editing
from framework.guidance.rules import posterior_residual
from framework.structures.losses import Frame


@GUIDANCES.register("posterior")
class Posterior(Editing):
    """Posterior distillation (PDS): edits a source towards the prompt and holds on to it as well (arXiv:2311.13831)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Editing.Config):
        guidance_scale: Schedule = Constant(100.0)
        """Strength s of the prompt, and of the source's own, in uncond + s (cond - uncond)."""
        stride: int = 2
        """Timesteps from a noise level to the one before it; the authors take 500 levels of 1000. With 1 nothing holds on
        to the source, and DDS with other weights is left."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.stride < 1:
                raise ValueError(f"stride: expected at least 1 timestep, got {self.stride}.")

    config: Config

    def draw_timestep(self, batch_size: int, step: StepInfo) -> Int[Tensor, "B"]:
        """The timestep of each sample, which has one before it."""
        return super().draw_timestep(batch_size, step).clamp(min=self.config.stride)

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """The difference of the stochastic latents of render and source."""
        return posterior_residual(
            self.prior,
            sample,
            conditions,
            self.source_sample(sample, frame),
            self.source_conditions(conditions, frame),
            self.combination,
            self.config.guidance_scale(frame.step),
            self.config.stride,
        )
