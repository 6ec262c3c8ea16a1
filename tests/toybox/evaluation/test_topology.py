"""Components, closedness and overlaps of meshes that are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.export.texturing import unwrap
from framework.structures.mesh import Mesh
from framework.toybox.evaluation.topology import topology, uv_overlap

# A tetrahedron, counter-clockwise seen from outside.
CORNERS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
SIDES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def square(size: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Two triangles per cell over the square [low, high]^2."""
    line = torch.linspace(low, high, size + 1)
    uvs = torch.cartesian_prod(line, line)
    corner = (torch.arange(size)[:, None] * (size + 1) + torch.arange(size)).reshape(-1)
    right, up = corner + size + 1, corner + 1
    return uvs, torch.cat([torch.stack([corner, right, up], 1), torch.stack([right, right + 1, up], 1)])


def test_a_tetrahedron_is_one_closed_piece() -> None:
    found = topology(Mesh(CORNERS, SIDES))
    assert (found.num_faces, found.num_components, found.floater_area) == (4, 1, 0.0)
    assert found.is_watertight and found.uv_overlap is None


def test_vertices_that_are_split_where_charts_meet_are_one() -> None:
    found = topology(Mesh(CORNERS[SIDES.flatten()], torch.arange(12).reshape(4, 3)))
    assert found.num_components == 1 and found.is_watertight


def test_a_missing_side_and_a_side_turned_over_are_holes() -> None:
    assert not topology(Mesh(CORNERS, SIDES[:3])).is_watertight
    assert not topology(Mesh(CORNERS, torch.cat([SIDES[:3], SIDES[3:].flip(1)]))).is_watertight


def test_a_floater_counts_by_its_area() -> None:
    mesh = Mesh(torch.cat([CORNERS, 0.5 * CORNERS + 3.0, CORNERS + 9.0]), torch.cat([SIDES, SIDES + 4]))
    found = topology(mesh)  # the third tetrahedron has no faces
    assert found.num_components == 2 and found.is_watertight
    assert found.floater_area == pytest.approx(0.2)


def test_marching_cubes_close_a_toy(painted: Callable[[str], Mesh]) -> None:
    assert topology(painted("a duck")).is_watertight


def test_triangles_side_by_side_do_not_overlap() -> None:
    # The diagonals of the cells lead right through points of the grid.
    assert uv_overlap(*square(8, 0.0, 1.0)) == 0.0


def test_an_overlap_is_a_share_of_what_is_used() -> None:
    (uvs, faces), (others, more) = square(4, 0.0, 0.5), square(2, 0.25, 0.75)
    overlap = uv_overlap(torch.cat([uvs, others]), torch.cat([faces, more + len(uvs)]))
    assert overlap == pytest.approx((1 / 16) / (7 / 16), rel=0.02)


def test_texture_coordinates_all_in_one_place_use_nothing() -> None:
    assert uv_overlap(torch.full((3, 2), 0.4), torch.tensor([[0, 1, 2]])) == 0.0


def test_an_unwrapped_mesh_overlaps_nowhere_and_stays_closed() -> None:
    mesh = Mesh(CORNERS, SIDES)
    unwrapped = unwrap(dataclasses.replace(mesh, normals=mesh.vertex_normals()), texture_size=256, padding=4)
    found = topology(unwrapped)
    assert found.uv_overlap == 0.0 and found.is_watertight and found.num_components == 1


def test_nothing_is_no_piece() -> None:
    found = topology(Mesh(CORNERS[:0], SIDES[:0], uvs=CORNERS[:0, :2]))
    assert (found.num_faces, found.num_components, found.floater_area) == (0, 0, 0.0)
    assert not found.is_watertight and found.uv_overlap == 0.0
