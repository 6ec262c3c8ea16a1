"""The features of surfaces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from framework.core.registries import ENCODINGS, GEOMETRIES
from framework.core.step import StepInfo, named_generator
from framework.geometry.feature_surface import FeatureSurface
from framework.structures.field import Attribute, FieldQuery, FieldSample

STEP = StepInfo(0, 1)
NAMES = ["tetrahedral-grid", "flexicubes", "triangle-mesh"]


def build(name: str = "triangle-mesh", **settings: object) -> FeatureSurface:
    encoding = ENCODINGS.find("hash-grid").Config(num_levels=6, log2_table_size=12)
    config = GEOMETRIES.find(name).Config(encoding=encoding, **settings)
    return GEOMETRIES.build(config, generator=named_generator(0, "surface"), backends={})


def points(count: int = 4096) -> Tensor:
    return 2.0 * torch.rand(count, 3, generator=named_generator(1, "points")) - 1.0


@pytest.mark.parametrize("name", NAMES)
def test_features_are_all_that_is_answered(name: str) -> None:
    surface = build(name, num_features=5)
    assert surface.answers == {Attribute.FEATURES}
    sample = surface.query(FieldQuery(points(7), STEP, frozenset(Attribute)))
    assert sample.features is not None and sample.features.shape == (7, 5)
    assert sample == FieldSample(features=sample.features)
    assert surface.query(FieldQuery(points(7), STEP, frozenset())) == FieldSample()


def test_features_grow_with_the_cube_and_continue_beyond_it() -> None:
    small, large = build(radius=1.0), build(radius=2.0)
    torch.testing.assert_close(large.features(2.0 * points(), STEP), small.features(points(), STEP))
    beyond = torch.tensor([[1.5, 0.2, -7.0]])
    torch.testing.assert_close(small.features(beyond, STEP), small.features(beyond.clamp(-1.0, 1.0), STEP))


def test_a_fit_reaches_smooth_targets_and_says_how_closely() -> None:
    surface, positions = build(num_features=3), points()
    targets = torch.stack([positions[:, 0], torch.sin(3.0 * positions[:, 1])], dim=1)
    error = surface.fit_features(positions, targets, step=STEP, generator=named_generator(2, "fit"), iterations=80)
    missed = surface.features(positions, STEP)[:, :2].detach() - targets
    assert error == pytest.approx(float(missed.square().mean().sqrt()), rel=1e-4)
    assert error < 0.05
    assert all(parameter.grad is None for parameter in surface.parameters())


def test_equal_generators_fit_equally() -> None:
    first, second = build(), build()
    for surface in (first, second):
        with torch.no_grad():  # whoever asks for a fit may have no use for gradients
            surface.fit_features(points(64), points(64), step=STEP, generator=named_generator(3, "fit"), iterations=5)
    assert torch.equal(first.features(points(), STEP), second.features(points(), STEP))
