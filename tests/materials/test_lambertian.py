"""Matte shading against its closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from framework.core.step import StepInfo, named_generator
from framework.materials.lambertian import Lambertian
from framework.structures.field import Attribute, ShadingPoints
from framework.structures.views import Lights

STEP = StepInfo(0, 1)
FEATURES = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]])
Make = Callable[..., ShadingPoints]


def material() -> Lambertian:
    return Lambertian(Lambertian.Config(), num_features=3, generator=named_generator(0, "test"))


def test_light_falls_off_with_the_cosine_and_stops_at_the_horizon(make_points: Make) -> None:
    tilt = math.radians(60.0)
    lights = torch.tensor([[3.0 * math.sin(tilt), 0.0, 3.0 * math.cos(tilt)], [0.0, 1.0, -2.0]])
    color = material().shade(make_points(light_positions=lights), FEATURES, STEP)
    expected = torch.sigmoid(FEATURES) * torch.tensor([[0.25 + 0.5 * 0.5], [0.25]])
    torch.testing.assert_close(color, expected)


def test_the_direction_to_the_light_is_taken_from_the_point_itself(make_points: Make) -> None:
    apart = torch.tensor([[4.0, 0.0, 0.0], [0.0, -2.0, 1.0]])
    overhead = apart + torch.tensor([0.0, 0.0, 3.0])
    color = material().shade(make_points(positions=apart, light_positions=overhead), FEATURES, STEP)
    torch.testing.assert_close(color, torch.sigmoid(FEATURES) * 0.75)


def test_textureless_views_show_white_under_the_same_light(make_points: Make) -> None:
    color = material().shade(make_points(is_textureless=torch.tensor([1.0, 0.0])), FEATURES, STEP)
    torch.testing.assert_close(color[0], torch.full((3,), 0.75))
    torch.testing.assert_close(color[1], torch.sigmoid(FEATURES[1]) * 0.75)


def test_purely_ambient_light_needs_no_normals_and_shows_the_base_color(make_points: Make) -> None:
    lights = Lights.ambient_only(torch.ones(2, 3))
    assert material().needs_under(lights) == frozenset({Attribute.FEATURES})
    points = make_points(normals=None, ambient=torch.ones(2), diffuse=torch.zeros(2))
    assert torch.equal(material().shade(points, FEATURES, STEP), material().base_color(FEATURES, STEP))


def test_one_lit_view_of_a_batch_calls_for_normals() -> None:
    lights = Lights(torch.ones(2, 3), torch.ones(2), torch.tensor([0.0, 0.5]), torch.tensor([False, False]))
    assert Attribute.NORMALS in material().needs_under(lights)


def test_without_diffuse_light_normals_get_no_gradient(make_points: Make) -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], requires_grad=True)
    material().shade(make_points(normals=normals, diffuse=torch.zeros(2)), FEATURES, STEP).sum().backward()
    assert normals.grad is not None and torch.equal(normals.grad, torch.zeros(2, 3))


def test_too_few_features_are_refused_with_the_setting_to_change() -> None:
    with pytest.raises(ValueError, match=r"'lambertian': needs 3 features.*Set geometry.num_features"):
        Lambertian(Lambertian.Config(), num_features=1, generator=named_generator(0, "test"))
