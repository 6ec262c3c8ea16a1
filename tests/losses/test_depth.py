"""Depth contrast against its formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from framework.losses.depth import DepthContrast
from framework.structures.losses import Frame

Make = Callable[..., Frame]
LOSS = DepthContrast(DepthContrast.Config(middle=0.5))


def frame_of(make_frame: Make, inner: torch.Tensor | float, outer: float) -> Frame:
    depth = torch.full((8, 8), outer)
    depth[2:6, 2:6] = inner
    return make_frame(torch.ones(8, 8), depth=depth)


def test_it_is_minus_the_logarithm_of_the_contrast(make_frame: Make) -> None:
    assert LOSS(frame_of(make_frame, 2.0, 0.5)).losses["depth-contrast"].item() == pytest.approx(-math.log(1.5))


def test_where_the_border_is_deeper_it_is_finite_and_pulls_the_middle_up(make_frame: Make) -> None:
    inner = torch.tensor(0.5, requires_grad=True)
    loss = LOSS(frame_of(make_frame, inner, 2.0)).losses["depth-contrast"]
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(0.05) + 1.55 / 0.05, rel=1e-5)
    assert inner.grad is not None and inner.grad.item() == pytest.approx(-1.0 / 0.05, rel=1e-5)


def test_value_and_slope_are_continuous_where_the_tangent_begins(make_frame: Make) -> None:
    values = [LOSS(frame_of(make_frame, 1.05 + e, 1.0)).losses["depth-contrast"].item() for e in (-1e-3, 0.0, 1e-3)]
    assert values[0] - values[1] == pytest.approx(values[1] - values[2], rel=0.05)


@pytest.mark.parametrize("middle", [0.01, 0.99])
def test_middle_and_border_are_never_empty(make_frame: Make, middle: float) -> None:
    loss = DepthContrast(DepthContrast.Config(middle=middle))
    assert loss(make_frame(torch.ones(5, 6), depth=torch.rand(5, 6))).losses["depth-contrast"].isfinite()


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"middle must lie in \(0, 1\), got 1"):
        DepthContrast.Config(middle=1.0)
