"""What all density fields promise."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.registries import DENSITY_BIASES, GEOMETRIES
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator
from framework.geometry.volume_field import VolumeField
from framework.structures.field import Attribute, FieldQuery, FieldSample

STEP = StepInfo(0, 1)
ALL = frozenset(Attribute)
Make = Callable[..., VolumeField]


def points(count: int = 16, *, extent: float = 0.9) -> Tensor:
    uniform = torch.rand(count, 3, generator=named_generator(1, "points"), dtype=torch.float64)
    return extent * (2.0 * uniform - 1.0)


def ask(field: VolumeField, positions: Tensor, wants: frozenset[Attribute] = ALL) -> FieldSample:
    return field.query(FieldQuery(positions, STEP, wants))


@pytest.mark.parametrize("normals", ["finite-difference", "analytic", "predicted"])
def test_only_what_is_wanted_is_answered_and_always_equally(make_field: Make, normals: str) -> None:
    field = make_field(normals=normals)
    everything = ask(field, points())
    for wants in itertools.chain.from_iterable(itertools.combinations(Attribute, count) for count in (1, 2)):
        part = ask(field, points(), frozenset(wants))
        for attribute in Attribute:
            value = getattr(part, attribute.value)
            if attribute in wants:
                torch.testing.assert_close(value, getattr(everything, attribute.value), atol=1e-12, rtol=0.0)
            else:
                assert value is None


def test_space_outside_the_cube_is_empty(make_field: Make) -> None:
    outside = torch.tensor([[1.01, 0.0, 0.0], [0.0, -1.5, 0.0], [0.2, 0.2, 7.0]], dtype=torch.float64)
    bias = DENSITY_BIASES.find("constant").Config(value=Constant(5.0))
    field = make_field(density_bias=bias)
    density = ask(field, torch.cat([outside, 0.5 * points(3)])).density
    assert density is not None
    assert torch.equal(density[:3], torch.zeros(3, dtype=torch.float64))
    assert bool((density[3:] > 0.0).all())


def test_a_field_grows_with_its_radius(make_field: Make) -> None:
    bias = DENSITY_BIASES.find("constant").Config()
    small = ask(make_field(density_bias=bias, radius=1.0, normal_epsilon=0.01), points())
    large = ask(make_field(density_bias=bias, radius=2.0, normal_epsilon=0.02), 2.0 * points())
    torch.testing.assert_close(large.density, small.density)
    torch.testing.assert_close(large.normals, small.normals, atol=1e-3, rtol=0.0)


def test_differences_and_derivatives_agree_on_the_normals(make_field: Make) -> None:
    # Grids have kinks, which differences straddle; close to the point they agree but for a few such places.
    near = ask(make_field(normals="finite-difference", normal_epsilon=1e-6), points(64)).normals
    exact = ask(make_field(normals="analytic"), points(64)).normals
    assert near is not None and exact is not None
    assert (near - exact).norm(dim=1).median() < 1e-4


def test_an_untrained_field_is_its_blob_with_radial_normals() -> None:
    for name in ("density-field", "voxel-grid"):
        config = GEOMETRIES.find(name).Config()
        backends = {"hash-encoding": "torch", "mlp": "torch"}
        field = GEOMETRIES.build(config, generator=named_generator(0, "field"), backends=backends)
        positions = points().float()
        sample = ask(field, positions)
        assert sample.density is not None and sample.normals is not None
        expected = F.softplus(10.0 * (1.0 - positions.norm(dim=1) / 0.5))
        torch.testing.assert_close(sample.density, expected, atol=0.02, rtol=0.02)
        torch.testing.assert_close(sample.normals, F.normalize(positions, dim=1), atol=0.1, rtol=0.0)


def test_autocast_leaves_differences_in_full_precision() -> None:
    config = GEOMETRIES.find("density-field").Config()
    backends = {"hash-encoding": "torch", "mlp": "torch"}
    field = GEOMETRIES.build(config, generator=named_generator(0, "field"), backends=backends)
    exact = ask(field, points().float())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = ask(field, points().float())
    assert mixed.density is not None and mixed.density.dtype == torch.float32
    torch.testing.assert_close(mixed.density, exact.density, atol=0.05, rtol=0.02)
    torch.testing.assert_close(mixed.normals, exact.normals)


@pytest.mark.parametrize("normals", ["finite-difference", "analytic", "predicted"])
def test_gradients_equal_differences(make_field: Make, normals: str) -> None:
    field = make_field(normals=normals)
    parameters = tuple(field.parameters())
    probe = torch.rand(4, 7, generator=named_generator(2, "probe"), dtype=torch.float64)

    def total(*values: Tensor) -> Tensor:
        sample = ask(field, points(4))
        answers = [sample.density[:, None], sample.features, sample.normals]  # type: ignore[index]
        return (probe * torch.cat(answers, dim=1)).sum()  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(total, parameters, fast_mode=True)


def test_analytic_normals_refuse_an_implementation_that_differentiates_once() -> None:
    config = GEOMETRIES.find("voxel-grid").Config(normals="analytic")
    with pytest.raises(ValueError, match="'analytic' needs second derivatives, which 'warp'"):
        GEOMETRIES.build(config, generator=named_generator(0, "field"), backends={"hash-encoding": "warp"})


@pytest.mark.parametrize("settings", [{"radius": 0.0}, {"normal_epsilon": -1.0}, {"num_features": 0}])
def test_impossible_settings_are_refused_by_name(settings: dict[str, object]) -> None:
    for name in ("density-field", "voxel-grid"):
        with pytest.raises(ValueError, match=next(iter(settings))):
            GEOMETRIES.find(name).Config(**settings)


def test_no_points_are_no_trouble(make_field: Make) -> None:
    sample = ask(make_field(), points(0))
    assert sample.density is not None and sample.normals is not None
    assert sample.density.shape == (0,) and sample.normals.shape == (0, 3)
