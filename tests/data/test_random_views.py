"""Random views are a function of the step and keep to their ranges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.core.schedule import Constant, Ramp, Steps
from framework.core.step import StepInfo
from framework.data.random_views import RandomViews
from framework.structures.cameras import spherical_direction
from framework.structures.views import Views

CPU = torch.device("cpu")


def sample(step: StepInfo = StepInfo(0, 100), *, name: str = "random", **settings: object) -> Views:  # noqa: B008
    return RandomViews(RandomViews.Config(**settings), name=name).sample(step, CPU)


def is_within(values: Tensor, low: float, high: float) -> bool:
    return bool(((values >= low - 1e-5) & (values <= high + 1e-5)).all())


def test_equal_steps_yield_equal_views_and_all_else_other_ones() -> None:
    azimuth = sample().azimuth
    assert torch.equal(sample().azimuth, azimuth)
    for other in (sample(StepInfo(1, 100)), sample(StepInfo(0, 100, seed=1)), sample(name="novel")):
        assert not torch.equal(other.azimuth, azimuth)


def test_every_draw_keeps_to_its_range() -> None:
    views = sample(
        batch_size=Constant(500.0),
        azimuth_range_deg=(-90.0, 45.0),
        elevation_range_deg=(10.0, 20.0),
        framing_range=(0.9, 1.2),
        fov_y_range_deg=(30.0, 60.0),
        light_distance_range=(4.0, 5.0),
        ambient_range=(0.2, 0.4),
        ambient_only_probability=Constant(0.0),
    )
    assert is_within(views.azimuth, math.radians(-90.0), math.radians(45.0))
    assert is_within(views.elevation, math.radians(10.0), math.radians(20.0))
    assert is_within(views.distance * torch.sin(0.5 * views.cameras.fov_y), 0.9, 1.2)
    torch.testing.assert_close(views.cameras.positions.norm(dim=1), views.distance)
    assert is_within(views.cameras.fov_y, math.radians(30.0), math.radians(60.0))
    assert is_within(views.lights.positions.norm(dim=1), 4.0, 5.0)
    assert is_within(views.lights.ambient, 0.2, 0.4)
    torch.testing.assert_close(views.lights.diffuse, 1.0 - views.lights.ambient)


def test_a_batch_covers_each_stratum_of_the_azimuth_once() -> None:
    azimuth = sample(batch_size=Constant(8.0)).azimuth
    strata = ((azimuth + math.pi) / (2.0 * math.pi) * 8.0).floor().long()
    assert sorted(strata.tolist()) == list(range(8))


def test_the_batch_grows_by_its_schedule() -> None:
    growing = Steps(((0, 1.0), (50, 4.0)))
    assert len(sample(StepInfo(49, 100), batch_size=growing)) == 1
    assert len(sample(StepInfo(50, 100), batch_size=growing)) == 4


def test_shares_of_plain_and_textureless_views_are_as_asked() -> None:
    lights = sample(
        batch_size=Constant(2000.0), ambient_only_probability=Constant(0.25), textureless_probability=Constant(0.5)
    ).lights
    is_plain = lights.ambient == 1.0
    assert abs(is_plain.float().mean() - 0.25) < 0.05
    assert bool((lights.diffuse[is_plain] == 0.0).all()) and not bool(lights.is_textureless[is_plain].any())
    assert abs(lights.is_textureless[~is_plain].float().mean() - 0.5) < 0.05


def test_a_light_without_spread_shines_from_the_camera() -> None:
    views = sample(batch_size=Constant(8.0), light_spread=0.0)
    expected = spherical_direction(views.azimuth, views.elevation)
    torch.testing.assert_close(torch.nn.functional.normalize(views.lights.positions, dim=1), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": Ramp("linear", 0.0, 4.0)}, "batch_size must stay at 1 or more, got 0"),
        ({"framing_range": (3.0, 2.0)}, "framing_range must ascend"),
        ({"elevation_range_deg": (-10.0, 95.0)}, r"elevation_range_deg .* in \[-90, 90\], got -10 to 95"),
        ({"ambient_only_probability": Constant(1.5)}, "ambient_only_probability"),
        ({"height": 0}, "height, width and every must be positive"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomViews.Config(**settings)
