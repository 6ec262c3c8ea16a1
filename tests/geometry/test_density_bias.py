"""Initial shapes of density fields."""

from __future__ import annotations

import pytest
import torch

from framework.core import schedule
from framework.core.step import StepInfo
from framework.geometry.density_bias import Blob, Constant

POINTS = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.3, 0.4], [1.0, 0.0, 0.0]])


def test_a_blob_falls_linearly_from_its_strength_through_zero_at_its_radius() -> None:
    bias = Blob(Blob.Config())(POINTS, StepInfo(0, 1))
    torch.testing.assert_close(bias, torch.tensor([10.0, 0.0, -10.0]), atol=1e-5, rtol=0.0)


def test_a_blob_follows_its_schedules() -> None:
    blob = Blob(Blob.Config(strength=schedule.Ramp("linear", 10.0, 0.0), radius=schedule.Constant(1.0)))
    torch.testing.assert_close(blob(POINTS, StepInfo(50, 100)), torch.tensor([5.0, 2.5, 0.0]))
    torch.testing.assert_close(blob(POINTS, StepInfo(100, 100)), torch.zeros(3))


def test_a_constant_bias_is_the_same_everywhere() -> None:
    bias = Constant(Constant.Config(value=schedule.Constant(-2.0)))(POINTS, StepInfo(0, 1))
    assert torch.equal(bias, torch.full((3,), -2.0))


def test_a_blob_without_extent_is_refused() -> None:
    with pytest.raises(ValueError, match="radius must stay positive"):
        Blob.Config(radius=schedule.Ramp("linear", 1.0, 0.0))
