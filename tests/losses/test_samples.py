"""Regularisers of the weights along rays against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.losses.samples import Emptiness, ZVariance
from framework.structures.losses import Frame
from framework.structures.rays import RaySamples
from framework.structures.render_output import VolumeSamples

Make = Callable[..., Frame]


def volume(weights: Tensor) -> VolumeSamples:
    """Two samples on the first of three rays at 1.5 and 3.5, none on the second, two on the third at 2.5 and 4.5."""
    starts = torch.tensor([1.0, 3.0, 2.0, 4.0])
    samples = RaySamples(torch.tensor([0, 0, 2, 2]), starts, starts + 1.0, torch.tensor([0, 2, 2, 4]))
    none = torch.zeros(0, dtype=torch.long)
    return VolumeSamples(samples, weights, none, None, torch.zeros(0, 3))


def test_z_variance_is_the_mean_variance_of_depth_on_opaque_rays(make_frame: Make) -> None:
    weights = torch.tensor([0.2, 0.6, 0.1, 0.1])  # The third ray is not opaque.
    loss = ZVariance(ZVariance.Config())(make_frame(torch.ones(1, 3), volume=volume(weights))).losses["z-variance"]
    assert loss.item() == pytest.approx(0.25 * 0.75 * 2.0**2)


def test_z_variance_draws_weight_together(make_frame: Make) -> None:
    weights = torch.tensor([0.2, 0.6, 0.5, 0.5], requires_grad=True)
    ZVariance(ZVariance.Config())(make_frame(torch.ones(1, 3), volume=volume(weights))).losses["z-variance"].backward()
    assert weights.grad is not None
    assert weights.grad[0] > 0.0 > weights.grad[1]  # the lighter sample of the first ray goes
    assert weights.grad[2:].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)  # a saddle


def test_nothing_opaque_has_no_variance(make_frame: Make) -> None:
    loss = ZVariance(ZVariance.Config())(make_frame(torch.ones(1, 3), volume=volume(torch.zeros(4))))
    assert loss.losses["z-variance"].item() == 0.0


def test_emptiness_is_the_mean_over_rays_of_the_logarithms(make_frame: Make) -> None:
    weights = torch.tensor([0.2, 0.6, 0.0, 0.1])
    loss = Emptiness(Emptiness.Config(scale=10.0))(make_frame(torch.ones(1, 3), volume=volume(weights)))
    expected = (math.log(3.0) + math.log(7.0) + math.log(2.0)) / 3.0
    assert loss.losses["emptiness"].item() == pytest.approx(expected)


def test_emptiness_favours_weight_in_one_place(make_frame: Make) -> None:
    spread, gathered = torch.tensor([0.4, 0.4, 0.0, 0.0]), torch.tensor([0.8, 0.0, 0.0, 0.0])
    loss = Emptiness(Emptiness.Config())
    costs = [loss(make_frame(torch.ones(1, 3), volume=volume(w))).losses["emptiness"] for w in (spread, gathered)]
    assert costs[0] > costs[1]


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"min_opacity must lie in \(0, 1\), got 0"):
        ZVariance.Config(min_opacity=0.0)
    with pytest.raises(ValueError, match="scale must be positive"):
        Emptiness.Config(scale=0.0)
