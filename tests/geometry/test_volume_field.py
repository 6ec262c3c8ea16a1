"""What all density fields promise beside what all fields do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.registries import DENSITY_BIASES
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator
from framework.geometry.volume_field import VolumeField
from framework.structures.field import Attribute, FieldQuery, FieldSample

NAMES = ["density-field", "voxel-grid"]
Make = Callable[..., VolumeField]

pytestmark = pytest.mark.parametrize("make_field", NAMES, indirect=True)


def points(count: int = 16, *, extent: float = 0.9) -> Tensor:
    uniform = torch.rand(count, 3, generator=named_generator(1, "points"), dtype=torch.float64)
    return extent * (2.0 * uniform - 1.0)


def ask(field: VolumeField, positions: Tensor) -> FieldSample:
    return field.query(FieldQuery(positions, StepInfo(0, 1), frozenset(Attribute)))


def test_space_outside_the_cube_is_empty(make_field: Make) -> None:
    outside = torch.tensor([[1.01, 0.0, 0.0], [0.0, -1.5, 0.0], [0.2, 0.2, 7.0]], dtype=torch.float64)
    field = make_field(density_bias=DENSITY_BIASES.find("constant").Config(value=Constant(5.0)))
    density = ask(field, torch.cat([outside, 0.5 * points(3)])).density
    assert density is not None
    assert torch.equal(density[:3], torch.zeros(3, dtype=torch.float64))
    assert bool((density[3:] > 0.0).all())


def test_a_field_grows_with_its_radius(make_field: Make) -> None:
    bias = DENSITY_BIASES.find("constant").Config()
    small = ask(make_field(density_bias=bias, radius=1.0, normal_epsilon=Constant(0.01)), points())
    large = ask(make_field(density_bias=bias, radius=2.0, normal_epsilon=Constant(0.02)), 2.0 * points())
    torch.testing.assert_close(large.density, small.density)
    torch.testing.assert_close(large.normals, small.normals, atol=1e-3, rtol=0.0)


def test_an_untrained_field_is_its_blob(make_field: Make) -> None:
    field = make_field()
    for parameter in field.parameters():
        parameter.data.mul_(1e-4)
    expected = F.softplus(10.0 * (1.0 - points().norm(dim=1) / 0.5))
    torch.testing.assert_close(ask(field, points()).density, expected, atol=0.02, rtol=0.02)
