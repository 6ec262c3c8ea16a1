"""Emitted colour."""

from __future__ import annotations

from collections.abc import Callable

import torch

from framework.core.step import StepInfo, named_generator
from framework.materials.radiance import Radiance
from framework.structures.field import ShadingPoints

STEP = StepInfo(0, 1)
FEATURES = torch.tensor([[0.0, 1.0, -1.0, 3.0], [2.0, 0.0, 0.5, -3.0]])
Make = Callable[..., ShadingPoints]


def material(*, view_dependent: bool = False) -> Radiance:
    config = Radiance.Config(view_dependent=view_dependent)
    return Radiance(config, num_features=4, generator=named_generator(0, "test"))


def test_color_is_the_sigmoid_of_the_first_three_features_under_any_light(make_points: Make) -> None:
    dark = make_points(ambient=torch.zeros(2), diffuse=torch.zeros(2), normals=None)
    assert torch.equal(material().shade(dark, FEATURES, STEP), torch.sigmoid(FEATURES[:, :3]))


def test_a_view_dependent_color_changes_with_the_view_and_its_base_does_not(make_points: Make) -> None:
    shiny = material(view_dependent=True)
    above = make_points()
    below = make_points(view_directions=-above.view_directions)
    assert not torch.allclose(shiny.shade(above, FEATURES, STEP), shiny.shade(below, FEATURES, STEP))
    assert torch.equal(shiny.base_color(FEATURES, STEP), torch.sigmoid(FEATURES[:, :3]))


def test_only_a_view_dependent_color_has_parameters() -> None:
    assert not list(material().parameters())
    assert list(material(view_dependent=True).parameters())
