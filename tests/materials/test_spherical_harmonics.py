"""Colours as spherical harmonics."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from framework.core.step import StepInfo, named_generator
from framework.materials.spherical_harmonics import SphericalHarmonics, real_harmonics
from framework.structures.field import ShadingPoints

STEP = StepInfo(0, 1)
Make = Callable[..., ShadingPoints]


def material(degree: int, num_features: int | None = None) -> SphericalHarmonics:
    config = SphericalHarmonics.Config(degree=degree)
    count = 3 * (degree + 1) ** 2 if num_features is None else num_features
    return SphericalHarmonics(config, num_features=count, generator=named_generator(0, "test"))


def quadrature() -> tuple[torch.Tensor, torch.Tensor]:
    """Directions and weights that integrate polynomials up to degree 7 over the sphere exactly."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    z, weight = torch.from_numpy(nodes), torch.from_numpy(weights)
    turn = torch.arange(8, dtype=torch.float64) * (math.pi / 4.0)
    flat = torch.sqrt(1.0 - z.square())[:, None]
    grid = torch.stack([flat * turn.cos(), flat * turn.sin(), z[:, None].expand(4, 8)], dim=-1)
    return grid.reshape(-1, 3), (weight[:, None] * (math.pi / 4.0)).expand(4, 8).reshape(-1)


def test_the_harmonics_are_orthonormal_over_the_sphere() -> None:
    directions, weights = quadrature()
    basis = real_harmonics(directions, 3)
    assert basis.shape[1] == 16
    products = torch.einsum("nk,nl,n->kl", basis, basis, weights)
    assert torch.allclose(products, torch.eye(16, dtype=torch.float64), atol=1e-12)


def test_the_harmonics_of_a_degree_only_mix_among_themselves_when_the_world_turns() -> None:
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    directions, weights = quadrature()
    mixing = torch.einsum("nk,nl,n->kl", real_harmonics(directions @ turn, 3), real_harmonics(directions, 3), weights)
    degrees = torch.tensor([0, *[1] * 3, *[2] * 5, *[3] * 7])
    assert float(mixing[degrees[:, None] != degrees].abs().max()) < 1e-12
    assert torch.allclose(mixing @ mixing.T, torch.eye(16, dtype=torch.float64), atol=1e-12)


def test_lower_degrees_come_first_and_degree_one_is_y_z_x() -> None:
    directions = F.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    whole = real_harmonics(directions, 3)
    for degree in range(3):
        assert torch.equal(real_harmonics(directions, degree), whole[:, : (degree + 1) ** 2])
    assert torch.allclose(whole[:, 1:4], math.sqrt(3.0 / (4.0 * math.pi)) * directions[:, [1, 2, 0]])


def test_degree_zero_is_the_same_colour_from_everywhere(make_points: Make) -> None:
    features = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]])
    assert torch.equal(material(0).shade(make_points(), features, STEP), torch.sigmoid(features))


def test_a_coefficient_of_z_brightens_one_side_and_darkens_the_other(make_points: Make) -> None:
    features = torch.zeros(2, 12)
    features[:, 6] = 1.5  # red, along z
    above = make_points()  # looking down
    below = make_points(view_directions=-above.view_directions)
    strength = 1.5 * math.sqrt(3.0 / (4.0 * math.pi))
    for points, sign in ((above, -1.0), (below, 1.0)):
        shown = material(1).shade(points, features, STEP)
        assert torch.allclose(shown[:, 0], torch.sigmoid(torch.tensor(sign * strength)))
        assert torch.equal(shown[:, 1:], torch.full((2, 2), 0.5))
    assert torch.equal(material(1).base_color(features, STEP), torch.full((2, 3), 0.5))


def test_every_coefficient_receives_a_gradient(make_points: Make) -> None:
    directions = F.normalize(torch.tensor([[0.3, -0.5, 0.8], [0.7, 0.2, -0.4]]), dim=1)
    features = torch.zeros(2, 48, requires_grad=True)
    material(3).shade(make_points(view_directions=directions), features, STEP).sum().backward()
    assert features.grad is not None and bool((features.grad != 0.0).all())


def test_features_beyond_those_needed_are_left_alone(make_points: Make) -> None:
    features = torch.randn(2, 14, generator=torch.Generator().manual_seed(0))
    shown = material(1, num_features=14).shade(make_points(), features, STEP)
    assert torch.equal(shown, material(1).shade(make_points(), features[:, :12], STEP))


def test_too_few_features_and_a_degree_that_does_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"degree 2 needs 27 features.*has 12\. Set geometry.num_features to 27"):
        material(2, num_features=12)
    with pytest.raises(ValueError, match="degree must lie between 0 and 3, got 4"):
        SphericalHarmonics.Config(degree=4)


@pytest.mark.parametrize("degree", [0, 2])
def test_no_points_have_no_colors(no_points: ShadingPoints, degree: int) -> None:
    features = torch.zeros(0, 3 * (degree + 1) ** 2)
    assert material(degree).shade(no_points, features, STEP).shape == (0, 3)
