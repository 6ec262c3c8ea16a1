from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from framework.diffusion.analytic import AnalyticPrior
from framework.diffusion.conditions import PromptIndex
from framework.structures.views import Views


class Recorder(AnalyticPrior):
    """A prior that keeps the texts it is given."""

    def encode_text(self, prompts: Sequence[str]) -> PromptIndex:
        self.texts = list(prompts)
        return PromptIndex(torch.arange(len(prompts)))

    def texts_of(self, text: PromptIndex) -> list[list[str]]:
        """The texts of (K, B) conditions."""
        return [[self.texts[number] for number in row] for row in text.index.tolist()]


@pytest.fixture
def prior() -> Recorder:
    return Recorder(AnalyticPrior.Config(image_size=4), device=torch.device("cpu"))


@pytest.fixture
def views_at() -> Callable[..., Views]:
    """Views at azimuths and elevations in degrees."""

    def make(azimuth_deg: Sequence[float], elevation_deg: Sequence[float]) -> Views:
        azimuth, elevation = torch.deg2rad(torch.tensor([azimuth_deg, elevation_deg]))
        one = torch.ones_like(azimuth)
        return Views.orbit(azimuth, elevation, 3.0 * one, 0.7 * one, height=4, width=4)

    return make
