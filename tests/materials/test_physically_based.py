"""Physically based shading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from framework.core.step import StepInfo, named_generator
from framework.materials.base import SurfaceProperties
from framework.materials.microfacets import integrals, lookup
from framework.materials.physically_based import PhysicallyBased
from framework.structures.field import Attribute, ShadingPoints
from framework.structures.srgb import to_linear, to_srgb
from framework.structures.views import Lights

STEP = StepInfo(0, 1, mode="validate")
Make = Callable[..., ShadingPoints]
COUNT = 400


def material(num_features: int = 8, **settings: Any) -> PhysicallyBased:
    config = PhysicallyBased.Config(**{"brightness": 1.0, **settings})
    return PhysicallyBased(config, num_features=num_features, generator=named_generator(0, "test"))


def test_shading_is_the_reflected_light_of_the_features_in_srgb(make_points: Make) -> None:
    surface = material(light="uniform", brightness=0.5, roughness_range=(0.2, 0.6), metallic_range=(0.0, 0.5))
    features = torch.tensor([[0.0, 1.0, -1.0, 2.0, 0.0], [2.0, 0.0, 0.5, -90.0, 90.0]])
    found = surface.surface(features, STEP)
    assert torch.equal(found.base_color, torch.sigmoid(features[:, :3]))
    assert torch.allclose(found.roughness, torch.tensor([0.4, 0.6]))
    assert torch.allclose(found.metallic, torch.tensor([0.25, 0.0]))
    shown = surface.shade(make_points(), features, STEP)
    scale, bias, diffuse = lookup(integrals(), torch.ones(2), found.roughness)
    base = to_linear(found.base_color)
    metal = found.metallic[:, None]
    head_on = 0.04 + (base - 0.04) * metal
    light = 0.5 * (head_on * scale[:, None] + bias[:, None] + base * (1 - metal) * (1 - head_on) * diffuse[:, None])
    assert torch.allclose(shown, to_srgb(light), atol=1e-4)


def test_dazzling_light_still_has_a_gradient(make_points: Make) -> None:
    features = torch.full((2, 5), 1.0, requires_grad=True)
    material(light="uniform", brightness=3.0).shade(make_points(), features, STEP).sum().backward()
    assert features.grad is not None and bool((features.grad[:, :3] > 0.0).all())


def test_plain_ambient_light_shows_the_base_color_and_needs_no_normals(make_points: Make) -> None:
    surface, features = material(), torch.randn(2, 8)
    ambient = Lights.ambient_only(torch.ones(2, 3))
    assert surface.needs_under(ambient) == frozenset({Attribute.FEATURES})
    for normals in (None, make_points().normals):
        points = make_points(normals=normals, ambient=torch.ones(2), diffuse=torch.zeros(2))
        assert torch.equal(surface.shade(points, features, STEP), surface.base_color(features, STEP))


def test_one_lit_view_of_a_batch_calls_for_normals() -> None:
    lights = Lights(torch.ones(2, 3), torch.ones(2), torch.tensor([0.0, 0.5]), torch.tensor([False, False]))
    assert Attribute.NORMALS in material().needs_under(lights)


def test_textureless_views_show_white_matte_surfaces(make_points: Make) -> None:
    surface = material(normal_map=True)
    features = torch.randn(2, 8)
    bare = make_points(is_textureless=torch.ones(2))
    shown = surface.shade(bare, features, STEP)
    assert torch.allclose(shown, surface.shade(bare, torch.randn(2, 8), STEP))
    white = SurfaceProperties(torch.ones(2, 3), torch.ones(2), torch.zeros(2))
    assert torch.allclose(shown, surface.surroundings.color(white, bare.normals, -bare.view_directions))


def test_the_light_turns_in_training_only_and_equally_in_equal_steps(make_points: Make) -> None:
    tilted = make_points(normals=F.normalize(torch.tensor([[1.0, 0.5, 0.2], [-1.0, 0.3, 0.1]]), dim=1))
    tilted = make_points(normals=tilted.normals, view_directions=-tilted.normals)
    features = torch.full((2, 5), 0.3)
    surface, fixed = material(), material(random_rotation=False)
    first, again, later = (surface.shade(tilted, features, StepInfo(step, 9)) for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, later, atol=1e-3)
    still = surface.shade(tilted, features, StepInfo(1, 9, mode="validate"))
    assert torch.equal(still, surface.shade(tilted, features, STEP))
    assert torch.equal(still, fixed.shade(tilted, features, StepInfo(1, 9)))


def test_normal_features_bend_the_normal_and_never_into_the_surface(make_points: Make) -> None:
    surface = material(normal_map=True)
    features = torch.zeros(2, 8)
    features[1, 5:] = torch.tensor([90.0, -90.0, -90.0])
    offset = surface.surface(features, STEP).normal_offset
    assert offset is not None and torch.equal(offset[0], torch.zeros(3))
    assert float(offset[1].norm()) < 1.0
    shown = surface.shade(make_points(), features, STEP)
    assert not torch.allclose(shown[0], shown[1], atol=1e-3)
    assert material().surface(features, STEP).normal_offset is None


def test_gradients_are_finite_and_equal_finite_differences(make_points: Make) -> None:
    surface = material(normal_map=True).double()
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    points = make_points()
    doubles = {name: value.double() for name, value in vars(points).items()}
    doubles["view_directions"] = F.normalize(torch.tensor([[0.3, 0.2, -1.0], [-0.5, 0.1, -0.8]]).double(), dim=1)
    assert torch.autograd.gradcheck(
        lambda x: surface.shade(ShadingPoints(**doubles), x, STEP), (features,), eps=1e-6, atol=1e-4
    )
    away = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    shown = surface.shade(ShadingPoints(**{**doubles, "normals": away}), features, STEP)
    shown.sum().backward()
    assert away.grad is not None and bool(away.grad.isfinite().all())


@pytest.mark.parametrize("features", [[1.0, -0.5, -2.0, 3.5, -1.0], [-1.0, 0.5, 1.0, -3.0, 0.5]])
def test_color_metallic_and_roughness_can_be_told_from_images(features: list[float]) -> None:
    surface, true = material(5), torch.tensor([features])
    generator = torch.Generator().manual_seed(0)
    normals, aside = F.normalize(torch.randn(2, COUNT, 3, generator=generator), dim=-1)
    viewers, ones = F.normalize(normals + 0.9 * aside, dim=1), torch.ones(COUNT)
    points = ShadingPoints(normals, -viewers, normals, normals, ones, ones, torch.zeros(COUNT))
    image = surface.shade(points, true.expand(COUNT, 5), STEP)
    guess = torch.zeros(1, 5, requires_grad=True)
    optimizer = torch.optim.Adam([guess], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (surface.shade(points, guess.expand(COUNT, 5), STEP) - image).square().mean().backward()
        optimizer.step()
    found, expected = (surface.surface(values.detach(), STEP).stacked() for values in (guess, true))
    assert torch.allclose(found, expected, atol=0.05)


def test_a_geometry_with_too_few_features_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(ValueError, match=r"needs 5 features.*has 3\. Set geometry.num_features to 5"):
        material(num_features=3)
    with pytest.raises(ValueError, match=r"needs 8 features.*and normals.*has 5\. Set geometry.num_features to 8"):
        material(num_features=5, normal_map=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"roughness_range": (0.5, 0.2)}, "roughness_range must ascend"),
        ({"metallic_range": (0.0, 1.5)}, "metallic_range must ascend and lie in"),
        ({"light_rows": 2}, "light_rows must lie between 4 and 512, got 2"),
        ({"brightness": 0.0}, "brightness must be positive, got 0"),
    ],
)
def test_values_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhysicallyBased.Config(**settings)


def test_nothing_that_follows_from_the_settings_is_in_the_checkpoint() -> None:
    assert not material().state_dict()


def test_no_points_have_no_colors(no_points: ShadingPoints) -> None:
    assert material().shade(no_points, torch.zeros(0, 8), STEP).shape == (0, 3)
