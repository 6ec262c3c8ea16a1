"""What all fields made of channels promise."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.registries import GEOMETRIES
from framework.core.schedule import Constant, Steps
from framework.core.step import StepInfo, named_generator
from framework.geometry.channel_field import ChannelField
from framework.structures.field import Attribute, FieldQuery, FieldSample

STEP = StepInfo(0, 1)
ALL = frozenset(Attribute)
NAMES = ("density-field", "voxel-grid", "signed-distance-field")
TORCH = {"hash-encoding": "torch", "mlp": "torch"}
Make = Callable[..., ChannelField]


def points(count: int = 16, *, extent: float = 0.9) -> Tensor:
    uniform = torch.rand(count, 3, generator=named_generator(1, "points"), dtype=torch.float64)
    return extent * (2.0 * uniform - 1.0)


def ask(
    field: ChannelField, positions: Tensor, wants: frozenset[Attribute] = ALL, step: StepInfo = STEP
) -> FieldSample:
    return field.query(FieldQuery(positions, step, wants))


def values(sample: FieldSample) -> dict[Attribute, Tensor | None]:
    return {item: getattr(sample, item.name.lower()) for item in Attribute}


@pytest.mark.parametrize("normals", ["finite-difference", "analytic", "predicted"])
def test_only_what_is_wanted_is_answered_and_always_equally(make_field: Make, normals: str) -> None:
    field = make_field(normals=normals)
    everything = values(ask(field, points()))
    for wants in itertools.chain.from_iterable(itertools.combinations(Attribute, count) for count in (0, 1, 2)):
        for attribute, value in values(ask(field, points(), frozenset(wants))).items():
            if attribute in wants and attribute in field.answers:
                torch.testing.assert_close(value, everything[attribute], atol=1e-12, rtol=0.0)
            else:
                assert value is None


def test_differences_and_derivatives_agree_on_the_normals(make_field: Make) -> None:
    # Grids have kinks, which differences straddle; close to the point they agree but for a few such places.
    near = ask(make_field(normals="finite-difference", normal_epsilon=Constant(1e-6)), points(64)).normals
    exact = ask(make_field(normals="analytic"), points(64)).normals
    assert near is not None and exact is not None
    assert (near - exact).norm(dim=1).median() < 1e-4


def test_the_distance_of_differences_follows_its_schedule(make_field: Make) -> None:
    coarse, fine = (make_field(normal_epsilon=Constant(epsilon)) for epsilon in (0.3, 0.01))
    both = make_field(normal_epsilon=Steps(((0, 0.3), (1, 0.01))))
    for step, alone in enumerate((coarse, fine)):
        normals = ask(both, points(), step=StepInfo(step, 2)).normals
        torch.testing.assert_close(normals, ask(alone, points()).normals, atol=0.0, rtol=0.0)
    assert not torch.equal(ask(coarse, points()).normals, ask(fine, points()).normals)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_field_has_radial_normals(name: str) -> None:
    field = GEOMETRIES.build(GEOMETRIES.find(name).Config(), generator=named_generator(0, "field"), backends=TORCH)
    positions = points().float()
    normals = ask(field, positions, frozenset({Attribute.NORMALS})).normals
    torch.testing.assert_close(normals, F.normalize(positions, dim=1), atol=0.1, rtol=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_leaves_differences_in_full_precision(name: str) -> None:
    field = GEOMETRIES.build(GEOMETRIES.find(name).Config(), generator=named_generator(0, "field"), backends=TORCH)
    exact = ask(field, points().float())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = ask(field, points().float())
    assert mixed.density is not None and mixed.density.dtype == torch.float32
    torch.testing.assert_close(mixed.density, exact.density, atol=0.05, rtol=0.02)
    torch.testing.assert_close(mixed.normals, exact.normals)


@pytest.mark.parametrize("normals", ["finite-difference", "analytic", "predicted"])
def test_gradients_equal_differences(make_field: Make, normals: str) -> None:
    field = make_field(normals=normals)

    def total(*parameters: Tensor) -> Tensor:
        answers = [value.flatten() for value in values(ask(field, points(4))).values() if value is not None]
        joined = torch.cat(answers)
        return (torch.linspace(-1.0, 2.0, len(joined), dtype=torch.float64) * joined).sum()

    assert torch.autograd.gradcheck(total, tuple(field.parameters()), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_analytic_normals_refuse_an_implementation_that_differentiates_once(name: str) -> None:
    config = GEOMETRIES.find(name).Config(normals="analytic")
    with pytest.raises(ValueError, match="'analytic' needs second derivatives, which 'warp'"):
        GEOMETRIES.build(config, generator=named_generator(0, "field"), backends={"hash-encoding": "warp"})


@pytest.mark.parametrize("settings", [{"radius": 0.0}, {"normal_epsilon": Constant(-1.0)}, {"num_features": 0}])
@pytest.mark.parametrize("name", NAMES)
def test_impossible_settings_are_refused_by_name(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        GEOMETRIES.find(name).Config(**settings)


def test_no_points_are_no_trouble(make_field: Make) -> None:
    sample = ask(make_field(), points(0))
    assert sample.density is not None and sample.normals is not None
    assert sample.density.shape == (0,) and sample.normals.shape == (0, 3)
