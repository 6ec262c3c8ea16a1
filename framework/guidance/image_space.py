"""Score distillation with a further term on the decoded image (HiFA, arXiv:2305.18766)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import GUIDANCES, TIMESTEPS
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.images import resize
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import score_distillation_residual, surrogate_loss
from framework.guidance.timesteps import Timesteps
from framework.structures.losses import Frame


@GUIDANCES.register("image-space")
class ImageSpace(Guidance):
    """SDS beside the difference of the render to the decoded prediction (HiFA, arXiv:2305.18766)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        timesteps: Timesteps.Config = slot(TIMESTEPS, default="square-root")
        """Which noise levels are looked at."""
        image_weight: Schedule = Constant(0.1)
        """Weight of the term in images against that in samples; while it is 0 nothing is decoded."""

    config: Config

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat - eps."""
        scale = self.config.guidance_scale(frame.step)
        return score_distillation_residual(self.prior, sample, conditions, self.combination, scale)

    def auxiliary_losses(
        self, frame: Frame, sample: NoisySample, residual: Float[Tensor, "B C H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The image term: gradient w(t) (x - D(z_0)) alpha / sigma on the render x, z_0 the predicted sample."""
        factor = self.config.image_weight(frame.step)
        if factor == 0.0:
            return {}
        with torch.no_grad():
            alpha, sigma = self.prior.schedule.at(sample.timestep)
            predicted = sample.clean - sigma / alpha.clamp(min=1e-3) * residual  # eps_hat is residual + eps
            target = self.prior.decode(predicted).permute(0, 3, 1, 2)
            weight = self.weighting(self.prior.schedule, sample.timestep) * alpha / sigma
        image = resize(
            self.image(frame.render, frame.step).permute(0, 3, 1, 2), height=target.shape[2], width=target.shape[3]
        )
        return {"image": factor * surrogate_loss(image, weight * (image - target).detach())}
