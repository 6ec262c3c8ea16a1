"""Score distillation for rectified-flow models (RFDS and RFDS-Rev, arXiv:2406.03293)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import GUIDANCES, WEIGHTINGS
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.rules import flow_residual, revised_noise
from framework.guidance.weighting import Weighting
from framework.structures.losses import Frame


@GUIDANCES.register("rectified-flow")
class RectifiedFlow(Guidance):
    """Rectified-flow distillation (RFDS): the predicted minus the true direction to the noise (arXiv:2406.03293)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        weighting: Weighting.Config = slot(WEIGHTINGS, default="uniform")
        """How much each noise level counts."""
        revise: bool = False
        """Whether the noise is first moved to where the flow leads back to the sample (RFDS-Rev): better detail, and
        one evaluation more."""

    config: Config

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """v_hat - (eps - x_0)."""
        if self.config.revise:
            noise = revised_noise(self.prior, sample, conditions, 1.0)
            sample = self.prior.schedule.add_noise(sample.clean, noise, sample.timestep)
        scale = self.config.guidance_scale(frame.step)
        return flow_residual(self.prior, sample, conditions, self.combination, scale)
