"""Cameras on a circle."""

from __future__ import annotations

import math

import pytest
import torch

from framework.core.step import StepInfo
from framework.data.orbit_views import OrbitViews

CPU = torch.device("cpu")


def make(**settings: object) -> OrbitViews:
    return OrbitViews(OrbitViews.Config(**settings), name="validation")


def test_four_views_see_front_left_back_and_right() -> None:
    views = make(elevation_deg=0.0, distance=2.0).sample(StepInfo(0, 1), CPU)
    expected = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [-2.0, 0.0, 0.0], [0.0, -2.0, 0.0]])
    torch.testing.assert_close(views.cameras.positions, expected, atol=1e-5, rtol=0.0)


def test_a_turntable_has_as_many_views_as_asked_at_equal_steps() -> None:
    views = make(start_azimuth_deg=30.0, elevation_deg=20.0).views(120)
    torch.testing.assert_close(views.azimuth.diff(), torch.full((119,), math.radians(3.0)), atol=1e-5, rtol=0.0)
    assert views.azimuth[0].item() == pytest.approx(math.radians(30.0))
    torch.testing.assert_close(views.elevation, torch.full((120,), math.radians(20.0)))


def test_every_step_sees_the_same_in_plain_light() -> None:
    first, later = make().sample(StepInfo(0, 9), CPU), make().sample(StepInfo(7, 9, seed=3, mode="test"), CPU)
    assert torch.equal(first.cameras.camera_to_world, later.cameras.camera_to_world)
    assert torch.equal(first.lights.ambient, torch.ones(4)) and torch.equal(first.lights.diffuse, torch.zeros(4))


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="elevation_deg must lie in"):
        OrbitViews.Config(elevation_deg=100.0)
    with pytest.raises(ValueError, match="num_views and distance must be positive"):
        OrbitViews.Config(num_views=0)
