"""Dual surfaces of grids of signed distances."""

from __future__ import annotations

import math

import pytest
import torch
from surfaces import area, euler_characteristic, is_closed, sphere, torus, torus_area, torus_volume
from torch import Tensor

from framework.geometry import dual_cubes
from framework.geometry.dual_cubes import CubeWeights, DualSurface, dual_surface
from framework.geometry.mesh_file import signed_volume
from framework.structures.mesh import Mesh

SIDE = 21


def grid(side: int = SIDE) -> Tensor:
    line = torch.linspace(-1.0, 1.0, side, dtype=torch.float64)
    return torch.cartesian_prod(line, line, line)


def extract(values: Tensor, side: int = SIDE, *, weights: CubeWeights | None = None, four: bool = False) -> DualSurface:
    return dual_surface(grid(side), values.view(side, side, side), weights, cuts_in_four=four)


def random_field(side: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    field = torch.ones(side, side, side, dtype=torch.float64)
    inner = (slice(1, -1),) * 3
    field[inner] = torch.randn(field[inner].shape, generator=generator, dtype=torch.float64)
    return field


def random_weights(side: int) -> CubeWeights:
    generator = torch.Generator().manual_seed(7)
    weights = 0.5 + torch.rand((side - 1) ** 3, 21, generator=generator, dtype=torch.float64)
    return CubeWeights(weights[:, :8], weights[:, 8:20], weights[:, 20])


@pytest.mark.parametrize("four", [False, True])
def test_a_sphere_has_its_radius_area_volume_and_topology(four: bool) -> None:
    found = extract(sphere(grid()), four=four)
    mesh = Mesh(found.vertices, found.faces)
    assert is_closed(found.faces) and euler_characteristic(found.faces) == 2
    # Means of points of the surface sink below it, by at most the square of their extent over 8 r. Their extent is a
    # cell's diagonal for a vertex, and about as much again for the middle of a quad.
    sunk = 3.0 * (2.0 / (SIDE - 1)) ** 2 / (8 * 0.6)
    assert float((found.vertices.norm(dim=1) - 0.6).abs().max()) < (2.0 * sunk if four else sunk)
    assert area(mesh) == pytest.approx(4.0 * math.pi * 0.6**2, rel=0.02)
    assert signed_volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 0.6**3, rel=0.04)
    outwards = (mesh.face_normals() * found.vertices[found.faces].mean(dim=1)).sum(dim=1)
    assert bool((outwards > 0.0).all())


def test_a_torus_has_a_hole() -> None:
    found = extract(torus(grid()))
    mesh = Mesh(found.vertices, found.faces)
    assert is_closed(found.faces) and euler_characteristic(found.faces) == 0
    assert area(mesh) == pytest.approx(torus_area(), rel=0.06)
    assert signed_volume(mesh) == pytest.approx(torus_volume(), rel=0.09)


def test_a_plane_is_met_exactly_with_any_weights_of_crossings() -> None:
    normal = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    weights = random_weights(SIDE)
    level = CubeWeights(torch.ones_like(weights.alpha), weights.beta, weights.gamma)
    box = grid().abs().amax(dim=1) - 0.85
    found = extract(torch.maximum(grid() @ normal - 0.05, box), weights=level, four=True)
    inner = found.vertices[found.vertices.abs().amax(dim=1) < 0.6]  # away from the box that closes it
    assert len(inner) > 100
    torch.testing.assert_close(inner @ normal, torch.full((len(inner),), 0.05, dtype=torch.float64))


@pytest.mark.parametrize("four", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_random_distances_and_weights_give_a_closed_manifold(seed: int, four: bool) -> None:
    found = extract(random_field(12, seed), 12, weights=random_weights(12), four=four)
    assert is_closed(found.faces)
    assert len(found.faces.unique()) == len(found.vertices)
    assert bool(found.vertices.isfinite().all()) and bool(found.deviation.isfinite().all())


def test_without_unfolding_some_edges_would_have_four_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    field = random_field(12, 0)
    assert is_closed(extract(field, 12).faces)
    monkeypatch.setattr(dual_cubes, "_is_unfolded", lambda case: torch.zeros_like(case, dtype=torch.bool))
    assert not is_closed(extract(field, 12).faces)


def test_weights_of_one_are_no_weights() -> None:
    ones = CubeWeights(*(torch.ones_like(part) for part in vars(random_weights(SIDE)).values()))
    with_ones, without = (extract(torus(grid()), weights=weights, four=True) for weights in (ones, None))
    torch.testing.assert_close(with_ones.vertices, without.vertices)


def test_deviation_is_that_of_the_distances_to_the_crossings() -> None:
    """One corner inside: three crossings on the edges from it, whose mean is the vertex."""
    values = torch.ones(3, 3, 3, dtype=torch.float64)
    values[1, 1, 1] = -1.0
    places = grid(3) * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    found = dual_surface(places, values)
    crossings = torch.diag(torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64))
    distances = (crossings - crossings.mean(dim=0)).norm(dim=1)
    expected = (distances - distances.mean()).abs().mean()
    torch.testing.assert_close(found.deviation, expected.expand(8))
    assert len(found.vertices) == 8 and is_closed(found.faces) and len(found.crossed) == 6


def test_crossed_edges_are_those_of_the_grid_whose_ends_differ() -> None:
    values = random_field(8, 2)
    found = extract(values, 8)
    ends = values.flatten()[found.crossed] < 0.0
    assert bool((ends[:, 0] != ends[:, 1]).all())
    count = sum(int((values.lt(0).diff(dim=axis)).sum()) for axis in range(3))
    assert len(found.crossed) == count == len(found.crossed.unique(dim=0))


def test_gradients_equal_differences() -> None:
    side = 4
    generator = torch.Generator().manual_seed(0)
    positions = grid(side) + 0.05 * torch.randn(side**3, 3, generator=generator, dtype=torch.float64)
    values, weights = random_field(side, 3), random_weights(side)
    found = dual_surface(positions, values, weights, cuts_in_four=True)
    probe = torch.randn(found.vertices.shape, generator=generator, dtype=torch.float64)

    def total(positions: Tensor, values: Tensor, *parts: Tensor) -> Tensor:
        found = dual_surface(positions, values, CubeWeights(*parts), cuts_in_four=True)
        return (found.vertices * probe).sum() + found.deviation.sum()

    leaves = (positions, values, weights.alpha, weights.beta, weights.gamma)
    assert torch.autograd.gradcheck(
        total, tuple(leaf.detach().clone().requires_grad_() for leaf in leaves), fast_mode=True
    )


def test_what_lies_inside_on_the_border_is_refused() -> None:
    with pytest.raises(ValueError, match="positive on the border"):
        extract(sphere(grid(), radius=1.2))


def test_nothing_inside_gives_no_faces() -> None:
    found = extract(torch.ones(SIDE**3, dtype=torch.float64))
    assert found.faces.shape == (0, 3) and found.vertices.shape == (0, 3) and len(found.deviation) == 0
