"""Surfaces between the vertices of tetrahedra."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from surfaces import area, euler_characteristic, is_closed, sphere, torus, torus_area, torus_volume
from torch import Tensor

from framework.geometry.marching_tetrahedra import EDGES, Isosurface, Tetrahedra, marching_tetrahedra
from framework.geometry.mesh_file import signed_volume
from framework.geometry.tetrahedral_lattice import is_on_border, lattice_tetrahedra, lattice_vertices
from framework.structures.mesh import Mesh

CORNERS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
ONE = Tetrahedra.of(torch.tensor([[0, 1, 2, 3]]))
RESOLUTION = 16
VERTICES = lattice_vertices(RESOLUTION).double()
LATTICE = Tetrahedra.of(lattice_tetrahedra(RESOLUTION))


def extract(values: Tensor, positions: Tensor = VERTICES) -> Isosurface:
    return marching_tetrahedra(positions, values, LATTICE)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("case", range(16))
def test_each_case_cuts_the_edges_whose_ends_differ_and_faces_outwards(case: int) -> None:
    inside = [corner for corner in range(4) if case >> corner & 1]
    values = torch.ones(4, dtype=torch.float64)
    values[inside] = -3.0
    found = marching_tetrahedra(CORNERS, values, ONE)
    cut = [pair for pair in EDGES if (pair[0] in inside) != (pair[1] in inside)]
    assert sorted(map(tuple, found.crossed.tolist())) == cut
    assert len(found.faces) == {0: 0, 1: 1, 2: 2, 3: 1, 4: 0}[len(inside)]
    for (start, end), vertex in zip(found.crossed.tolist(), found.vertices, strict=True):
        share = values[start] / (values[start] - values[end])
        torch.testing.assert_close(vertex, CORNERS[start] + share * (CORNERS[end] - CORNERS[start]))
    mesh = Mesh(found.vertices, found.faces)
    for normal, corners in zip(mesh.face_normals(), found.vertices[found.faces], strict=True):
        for corner in range(4):
            side = float(normal @ (CORNERS[corner] - corners[0]))
            assert side < 1e-12 if corner in inside else side > -1e-12


def test_the_two_triangles_of_a_quad_do_not_overlap() -> None:
    for inside in itertools.combinations(range(4), 2):
        values = torch.ones(4, dtype=torch.float64)
        values[list(inside)] = -1.0
        found = marching_tetrahedra(CORNERS, values, ONE)
        first, second = Mesh(found.vertices, found.faces).face_normals()
        assert float(first @ second) > 0.999 and len(set(map(tuple, found.faces.sort(dim=1).values.tolist()))) == 2


def test_a_sphere_has_its_radius_area_volume_and_topology() -> None:
    found = extract(sphere(VERTICES))
    mesh = Mesh(found.vertices, found.faces)
    assert is_closed(found.faces) and euler_characteristic(found.faces) == 2
    # A chord of length h = 1 / 8 sinks h^2 / (8 r) below the surface.
    assert float((found.vertices.norm(dim=1) - 0.6).abs().max()) < (2.0 / RESOLUTION) ** 2 / (8 * 0.6)
    assert area(mesh) == pytest.approx(4.0 * math.pi * 0.6**2, rel=0.01)
    assert signed_volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 0.6**3, rel=0.015)
    outwards = (mesh.face_normals() * found.vertices[found.faces].mean(dim=1)).sum(dim=1)
    assert bool((outwards[mesh.face_areas() > 1e-9] > 0.0).all())


def test_a_torus_has_a_hole() -> None:
    found = extract(torus(VERTICES))
    mesh = Mesh(found.vertices, found.faces)
    assert is_closed(found.faces) and euler_characteristic(found.faces) == 0
    assert area(mesh) == pytest.approx(torus_area(), rel=0.02)
    assert signed_volume(mesh) == pytest.approx(torus_volume(), rel=0.04)


@pytest.mark.parametrize("seed", range(3))
def test_random_distances_give_a_closed_surface_without_duplicate_vertices(seed: int) -> None:
    values = torch.randn(len(VERTICES), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values[is_on_border(RESOLUTION)] = 1.0
    found = extract(values)
    assert is_closed(found.faces)
    assert len(found.vertices.unique(dim=0)) == len(found.vertices) == len(found.faces.unique())


def test_distances_of_exactly_zero_leave_the_surface_closed() -> None:
    values = (VERTICES * RESOLUTION).round().abs().sum(dim=1) - 8.0
    assert bool((values == 0.0).any())
    found = extract(values)
    assert is_closed(found.faces) and bool(found.vertices.isfinite().all())


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_one_sign_everywhere_gives_no_faces(value: float) -> None:
    found = extract(torch.full((len(VERTICES),), value, dtype=torch.float64))
    assert found.faces.shape == (0, 3) and found.vertices.shape == (0, 3)


def test_gradients_equal_differences() -> None:
    lattice = Tetrahedra.of(lattice_tetrahedra(2))
    positions = lattice_vertices(2).double()
    positions = positions + 0.1 * torch.randn(positions.shape, generator=generator(), dtype=torch.float64)
    values = sphere(positions)
    probe = torch.randn(len(marching_tetrahedra(positions, values, lattice).vertices), 3, generator=generator())

    def total(positions: Tensor, values: Tensor) -> Tensor:
        return (marching_tetrahedra(positions, values, lattice).vertices * probe).sum()

    assert torch.autograd.gradcheck(total, (positions.requires_grad_(), values.requires_grad_()))


def test_edges_are_listed_once_and_sides_name_them() -> None:
    assert len(LATTICE.edges.unique(dim=0)) == len(LATTICE.edges)
    for number, (first, second) in enumerate(EDGES):
        ends = LATTICE.corners[:, [first, second]].sort(dim=1).values
        assert torch.equal(LATTICE.edges[LATTICE.sides[:, number]], ends)
