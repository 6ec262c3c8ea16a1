"""Distributions of cameras, lights and backgrounds."""

from __future__ import annotations

import math

import torch

from framework.toybox.views import ToyViews, ViewDistribution


def sample(distribution: ViewDistribution | None = None, *, count: int = 4000, seed: int = 0) -> ToyViews:
    generator = torch.Generator().manual_seed(seed)
    return (distribution or ViewDistribution()).sample(count, size=8, generator=generator)


def test_angles_and_distances_fill_their_ranges() -> None:
    views = sample()
    for values, low, high in (
        (views.azimuth, -math.pi, math.pi),
        (views.elevation, math.radians(-10), math.radians(85)),
        (views.cameras.fov_y, math.radians(40), math.radians(50)),
        (views.distance * torch.sin(0.5 * views.cameras.fov_y), 1.0, 1.06),
        (views.lights.ambient, 0.3, 1.0),
        (views.lights.positions.norm(dim=-1), 3.0, 5.0),
        (views.background, 0.0, 1.0),
    ):
        assert low - 1e-5 <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high + 1e-5


def test_shares_are_kept() -> None:
    views = sample()
    is_neutral = (views.background.amax(dim=-1) - views.background.amin(dim=-1)) < 1e-6
    for fact, share in (
        (views.elevation > math.radians(45), 0.2),
        (views.lights.ambient == 1, 0.2),
        (is_neutral, 0.5),
    ):
        assert abs(fact.float().mean() - share) < 0.03


def test_cameras_stand_where_the_angles_say() -> None:
    views = sample(count=50)
    x, y, z = views.cameras.positions.unbind(dim=-1)
    torch.testing.assert_close(torch.atan2(y, x), views.azimuth, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.asin(z / views.distance), views.elevation, atol=1e-4, rtol=0)


def test_lights_stand_on_the_side_of_the_camera() -> None:
    views = sample()
    cosine = torch.nn.functional.cosine_similarity(views.lights.positions, views.cameras.positions, dim=-1)
    assert (cosine > 0).float().mean() > 0.9
    without_spread = sample(ViewDistribution(light_spread=0.0), count=10)
    positions = (without_spread.lights.positions, without_spread.cameras.positions)
    torch.testing.assert_close(torch.nn.functional.cosine_similarity(*positions, dim=-1), torch.ones(10))


def test_sides_stand_evenly_around_the_object_and_differ_in_nothing_else() -> None:
    views = sample(count=3)
    sides = views.from_sides(4)
    assert len(sides) == 12 and torch.equal(sides.background, views.background.repeat_interleave(4, dim=0))
    assert sides.azimuth.min() >= -math.pi and sides.azimuth.max() < math.pi
    torch.testing.assert_close(sides.cameras.positions[::4], views.cameras.positions)
    # Camera and light turn together: what the camera sees of the light stays as it was.
    for name in ("distance", "elevation"):
        assert torch.equal(getattr(sides, name), getattr(views, name).repeat_interleave(4))
    camera, light = sides.cameras.positions.view(3, 4, 3), sides.lights.positions.view(3, 4, 3)
    turned = torch.stack([-camera[:, :3, 1], camera[:, :3, 0], camera[:, :3, 2]], dim=-1)
    torch.testing.assert_close(camera[:, 1:], turned, atol=1e-5, rtol=0)
    between = (camera - light).norm(dim=-1)
    torch.testing.assert_close(between, between[:, :1].expand(3, 4))


def test_one_side_is_the_view_itself() -> None:
    views = sample(count=3)
    torch.testing.assert_close(views.from_sides(1).cameras.camera_to_world, views.cameras.camera_to_world)
    torch.testing.assert_close(views.from_sides(1).azimuth, views.azimuth)


def test_the_generator_is_the_only_source() -> None:
    first, second, other = sample(count=5), sample(count=5), sample(count=5, seed=1)
    assert torch.equal(first.background, second.background)
    assert torch.equal(first.cameras.camera_to_world, second.cameras.camera_to_world)
    assert not torch.equal(first.azimuth, other.azimuth)
