"""The prompt with words for the side that is seen (DreamFusion, arXiv:2209.14988, section 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.registries import CONDITIONERS
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prior import Prior
from framework.prompts.conditioner import Conditioner, uniform_weights
from framework.prompts.debiasing import Debiasing, debiased_prompts
from framework.structures.views import Views

FRONT, SIDE, BACK, OVERHEAD = range(4)
VIEW_WORDS = ("front", "side", "back", "overhead")
PLACEHOLDER = "{prompt}"


@CONDITIONERS.register("view-dependent")
class ViewDependent(Conditioner):
    """The prompt with "front view", "side view", "back view" or "overhead view" behind it.

    The bins are those that the toybox captions its images by.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Conditioner.Config):
        front: str = "{prompt}, front view"
        """Text for views of the front; `{prompt}` stands for the prompt, here and in the next three."""
        side: str = "{prompt}, side view"
        """Text for views of either side."""
        back: str = "{prompt}, back view"
        """Text for views of the back."""
        overhead: str = "{prompt}, overhead view"
        """Text for views from above."""
        front_threshold_deg: float = 45.0
        """Largest azimuth, either way, at which the front is seen."""
        back_threshold_deg: float = 135.0
        """Smallest azimuth, either way, at which the back is seen."""
        overhead_threshold_deg: float = 60.0
        """Elevation above which a view is overhead, whatever its azimuth."""
        debiasing: Debiasing = field(default_factory=lambda: Debiasing())
        """Leaves words out of each view's prompt that contradict the view, as a masked language model sees it."""

        def texts_of(self, prompt: str) -> list[str]:
            """The texts of a prompt, in the order of `FRONT`, `SIDE`, `BACK` and `OVERHEAD`."""
            templates = (self.front, self.side, self.back, self.overhead)
            prompts = debiased_prompts(prompt, VIEW_WORDS, self.debiasing)
            return [template.replace(PLACEHOLDER, item) for template, item in zip(templates, prompts, strict=True)]

        def __post_init__(self) -> None:
            for name in VIEW_WORDS:
                if PLACEHOLDER not in getattr(self, name):
                    raise ValueError(f"{name}: '{PLACEHOLDER}' is missing, so the text would not name the object.")
            if not 0.0 <= self.front_threshold_deg <= self.back_threshold_deg <= 180.0:
                raise ValueError(
                    "expected 0 <= front_threshold_deg <= back_threshold_deg <= 180, "
                    f"got {self.front_threshold_deg} and {self.back_threshold_deg}."
                )

    config: Config

    def __init__(self, config: Config, *, prior: Prior, prompt: str) -> None:
        super().__init__(config, prior=prior, prompt=prompt)
        self.texts = config.texts_of(prompt)
        self._text = prior.encode_text([*self.texts, config.negative_prompt])

    def __call__(self, views: Views, step: StepInfo) -> Conditions:
        """Row 0: the text of each view's bin; row 1: the negative prompt."""
        bins = self.view_bins(views.azimuth, views.elevation)
        index = torch.stack([bins, torch.full_like(bins, len(self.texts))])  # (2, B)
        return Conditions(self._text[index], uniform_weights(views), views)

    def view_bins(self, azimuth: Float[Tensor, "B"], elevation: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Number of the text that each view gets; angles in radians, azimuths of any turn."""
        config = self.config
        from_front = torch.remainder(azimuth + math.pi, 2.0 * math.pi).sub(math.pi).abs()
        bins = torch.full_like(azimuth, SIDE, dtype=torch.long)
        bins[from_front < math.radians(config.front_threshold_deg)] = FRONT
        bins[from_front > math.radians(config.back_threshold_deg)] = BACK
        bins[elevation > math.radians(config.overhead_threshold_deg)] = OVERHEAD
        return bins
