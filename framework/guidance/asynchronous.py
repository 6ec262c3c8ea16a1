"""Asynchronous score distillation (ScaleDreamer, arXiv:2407.02040)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import asynchronous_residual
from framework.structures.losses import Frame


@GUIDANCES.register("asynchronous")
class Asynchronous(Guidance):
    """Asynchronous score (ASD): as VSD, with the prior at a noisier level in place of an adapter (arXiv:2407.02040)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        guidance_scale: Schedule = Constant(7.5)
        """Strength s of the prompt in uncond + s (cond - uncond)."""
        shift: Schedule = Constant(0.1)
        """Largest distance of the noisier level, as a share of the timestep; a step's own is uniform up to it."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.shift.bounds()[0] < 0.0:
                raise ValueError("shift: expected shares of the timestep, 0 or more.")

    config: Config

    def partner(self, timestep: Int[Tensor, "B"], step: StepInfo) -> Int[Tensor, "B"]:
        """The noisier level."""
        generator = step.generator(f"guidance.{self.name}.shift", timestep.device)
        share = torch.rand(timestep.shape, generator=generator, device=timestep.device)
        shifted = timestep + (self.config.shift(step) * share * timestep).long()
        return shifted.clamp(max=len(self.prior.schedule) - 1)

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat(x_t) - eps(x_t'; y)."""
        scale = self.config.guidance_scale(frame.step)
        return asynchronous_residual(self.prior, sample, conditions, self.combination, scale)
