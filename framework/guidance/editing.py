"""What rules have in common that edit: the source, noisy in the same way and under its own prompt, beside the render."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import SOURCES, WEIGHTINGS
from framework.core.schedule import Constant, Schedule
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.base import Guidance
from framework.guidance.source import Source
from framework.guidance.weighting import Weighting
from framework.prompts.conditioner import Conditioner
from framework.structures.losses import Frame


class Editing(Guidance, ABC):
    """A rule that compares the render with its source.

    Attributes:
        source_image: What the edit begins with.
        source_conditioner: Conditions of the source's prompt.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Guidance.Config):
        source_image: Source.Config = slot(SOURCES)
        """What the edit begins with, and its prompt."""
        guidance_scale: Schedule = Constant(7.5)
        """Strength s of the prompt, and of the source's own, in uncond + s (cond - uncond)."""
        weighting: Weighting.Config = slot(WEIGHTINGS, default="uniform")
        """How much each noise level counts."""

    config: Config
    compares_source = True
    source_image: Source

    def prepare(self) -> None:
        self.source_conditioner: Conditioner = self.conditioner_of(self.source_image.prompt)

    def source_sample(self, sample: NoisySample, frame: Frame) -> NoisySample:
        """The source with the noise and at the noise level of the render."""
        clean: Float[Tensor, "B C H W"] = self.prior.encode(self.source_image.images(frame.views))
        return self.prior.schedule.add_noise(clean, sample.noise, sample.timestep)

    def source_conditions(self, conditions: Conditions, frame: Frame) -> Conditions:
        """What the prior is told of the source; it is shown the same images."""
        source = self.source_conditioner(frame.views, frame.step)
        return source.showing(conditions.image, conditions.control)
