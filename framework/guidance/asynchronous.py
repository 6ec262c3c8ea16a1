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
        """Largest distance eta of the noisier level, as a share of t - T_min; a step's own is uniform up to it."""
        shift_above: float = 0.02
        """T_min as a fraction of all timesteps; below it the two levels are one."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.shift.bounds()[0] < 0.0:
                raise ValueError("shift: expected shares of the timestep, 0 or more.")
            if not 0.0 <= self.shift_above < 1.0:
                raise ValueError(
                    f"shift_above: expected a fraction of the timesteps in [0, 1), got {self.shift_above}."
                )

    config: Config

    def partner(self, timestep: Int[Tensor, "B"], step: StepInfo) -> Int[Tensor, "B"]:
        """The noisier level t + U(0, eta (t - T_min))."""
        num_timesteps = len(self.prior.schedule)
        generator = step.batch_generator(f"guidance.{self.name}.shift", timestep.device)
        share = step.own(torch.rand(step.rows(len(timestep)), generator=generator, device=timestep.device))
        distance = (timestep - int(self.config.shift_above * num_timesteps)).clamp(min=0)
        return (timestep + (self.config.shift(step) * share * distance).long()).clamp(max=num_timesteps - 1)

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat(x_t) - eps(x_t'; y)."""
        scale = self.config.guidance_scale(frame.step)
        return asynchronous_residual(self.prior, sample, conditions, self.combination, scale)
