"""Delta denoising score (arXiv:2304.07090)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import GUIDANCES
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.editing import Editing
from framework.guidance.rules import delta_denoising_residual
from framework.structures.losses import Frame


@GUIDANCES.register("delta-denoising")
class DeltaDenoising(Editing):
    """Delta denoising score (DDS): edits a source; what SDS would do to the source itself is left out (2304.07090)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Editing.Config):
        pass

    config: Config

    def residual(self, sample: NoisySample, conditions: Conditions, frame: Frame) -> Float[Tensor, "B C H W"]:
        """eps_hat(x_t; y) - eps_hat(source_t; y_source)."""
        return delta_denoising_residual(
            self.prior,
            sample,
            conditions,
            self.source_sample(sample, frame),
            self.source_conditions(conditions, frame),
            self.combination,
            self.config.guidance_scale(frame.step),
        )
