"""Frames made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.core.step import StepInfo
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput, VolumeSamples
from framework.structures.views import Views


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """A frame of one view with the given opacity (H, W), and samples if there are any."""

    def make(opacity: Tensor, *, normal: Tensor | None = None, volume: VolumeSamples | None = None) -> Frame:
        height, width = opacity.shape
        image = opacity[None, :, :, None]
        one = torch.ones(1)
        views = Views.orbit(0.0 * one, 0.0 * one, 3.0 * one, one, height=height, width=width)
        rgb = image.expand(1, height, width, 3)
        render = RenderOutput(rgb=rgb, opacity=image, depth=image, renderer="test", normal=normal, volume=volume)
        return Frame(torch.nn.Module(), views, render, StepInfo(0, 1))

    return make
