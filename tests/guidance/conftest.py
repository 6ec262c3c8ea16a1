from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from framework.core.step import StepInfo
from framework.diffusion.analytic import AnalyticPrior
from framework.diffusion.conditions import Conditions, PromptIndex
from framework.diffusion.prediction import Prediction
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views

SIZE = 8


class Counting(AnalyticPrior):
    """The analytic prior, except that prompts differ by a constant, and evaluations and decodings are counted."""

    def __init__(self, config: AnalyticPrior.Config) -> None:
        super().__init__(config, device=torch.device("cpu"))
        self.evaluated: list[int] = []
        self.decoded = 0

    def encode_text(self, prompts: Sequence[str]) -> PromptIndex:
        return PromptIndex(torch.tensor([len(prompt) for prompt in prompts]))

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions) -> Prediction:
        self.evaluated.append(conditions.num_conditions)
        prediction = super().predict(noisy, timestep, conditions)
        assert isinstance(conditions.text, PromptIndex)
        return prediction.with_raw(prediction.raw + 0.1 * conditions.text.index[:, :, None, None, None])

    def decode(self, samples: Tensor) -> Tensor:
        self.decoded += 1
        return super().decode(samples)


@pytest.fixture
def prior() -> AnalyticPrior:
    return AnalyticPrior(AnalyticPrior.Config(image_size=SIZE, standard_deviation=0.2), device=torch.device("cpu"))


@pytest.fixture
def counting_prior() -> Counting:
    return Counting(AnalyticPrior.Config(image_size=SIZE))


@pytest.fixture
def views() -> Views:
    return Views.orbit(
        torch.tensor([0.0, 2.0]),
        torch.tensor([0.3, -0.1]),
        torch.tensor([3.0, 2.5]),
        torch.tensor([0.7, 0.8]),
        height=SIZE,
        width=SIZE,
    )


@pytest.fixture
def frame() -> Callable[..., Frame]:
    """A frame of the given image, views and step."""

    def make(rgb: Tensor, views: Views, step: StepInfo, normal: Tensor | None = None) -> Frame:
        flat = torch.ones_like(rgb[..., :1]).detach()
        render = RenderOutput(rgb=rgb, opacity=flat, depth=flat, renderer="none", normal=normal)
        return Frame(torch.nn.Module(), views, render, step)

    return make
