"""Marching tetrahedra: the surface of a signed distance given at the vertices of a tetrahedral grid (DMTet, 2111.04276).

Inside is where the distance is negative. A tetrahedron that the surface crosses holds one triangle or two, whose corners
lie on its crossed edges; as every edge has one crossing, neighbours share corners and the surface has no holes but where
it meets the border of the grid.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Corners of the edges of a tetrahedron.
EDGES = tuple(itertools.combinations(range(4), 2))


@dataclass(frozen=True, eq=False)
class Tetrahedra:
    """Which vertices make tetrahedra, and their edges, each of them once.

    Attributes:
        corners: Vertex indices; the last corner lies on the side of the first three from which they are clockwise.
        edges: Vertex indices.
        sides: The six edges of each tetrahedron, in the order of `EDGES`.
    """

    corners: Int[Tensor, "T 4"]
    edges: Int[Tensor, "E 2"]
    sides: Int[Tensor, "T 6"]

    @classmethod
    def of(cls, corners: Int[Tensor, "T 4"]) -> Tetrahedra:
        """With its edges, found by sorting; once for a grid, as that takes far longer than a surface."""
        corners = corners.long()
        ends = corners[:, torch.tensor(EDGES, device=corners.device)].sort(dim=2).values  # (T, 6, 2)
        stride = int(corners.max()) + 1
        keys, sides = torch.unique(ends[..., 0] * stride + ends[..., 1], return_inverse=True)
        return cls(corners, torch.stack([keys // stride, keys % stride], dim=1), sides)


@dataclass(frozen=True, eq=False)
class Isosurface:
    """A surface between the vertices of a grid.

    Attributes:
        vertices: On the crossed edges.
        faces: Counter-clockwise seen from outside.
        crossed: The crossed edges, one for each vertex and in their order, as indices of grid vertices.
    """

    vertices: Float[Tensor, "N 3"]
    faces: Int[Tensor, "F 3"]
    crossed: Int[Tensor, "N 2"]


def marching_tetrahedra(
    positions: Float[Tensor, "V 3"], signed_distance: Float[Tensor, "V"], tetrahedra: Tetrahedra
) -> Isosurface:
    """The surface where `signed_distance` is zero; without faces if it has one sign everywhere.

    Differentiable with respect to positions and distances. Tetrahedra that the positions turn inside out fold the
    surface, but leave it closed.

    Args:
        positions: Of the grid's vertices.
        signed_distance: At those vertices, negative inside; zero counts as outside.
        tetrahedra: Of positive volume at rest.
    """
    is_inside = signed_distance < 0.0
    crossed, number = _crossed_edges(is_inside, tetrahedra.edges)
    corner_is_inside = is_inside.index_select(0, tetrahedra.corners.flatten()).view(-1, 4)
    case = (corner_is_inside * torch.tensor([1, 2, 4, 8], dtype=torch.uint8, device=is_inside.device)).sum(dim=1)
    cell = ((case > 0) & (case < 15)).nonzero()[:, 0]
    local = _triangles().to(case.device)[case[cell]]  # (C, 2, 3) numbers of edges, -1 where there is no triangle
    sides = tetrahedra.sides[cell].gather(1, local.clamp_min(0).flatten(1)).view_as(local)
    faces = number[sides[local[..., 0] >= 0]]
    return Isosurface(crossing_points(positions, signed_distance, crossed), faces, crossed)


def crossing_points(
    positions: Float[Tensor, "V 3"], values: Float[Tensor, "V"], edges: Int[Tensor, "N 2"]
) -> Float[Tensor, "N 3"]:
    """Where values that are linear along each edge, and of different sign at its ends, pass zero."""
    # index_select, because its derivative is much faster on a CPU than that of indexing.
    first, second = (positions.index_select(0, end) for end in edges.unbind(dim=1))
    value, other = (values.index_select(0, end) for end in edges.unbind(dim=1))
    return first + (value / (value - other))[:, None] * (second - first)


def _crossed_edges(is_inside: Tensor, edges: Int[Tensor, "E 2"]) -> tuple[Int[Tensor, "N 2"], Int[Tensor, "E"]]:
    """The edges with one end inside, and the place of each edge among them, which is undefined for the others."""
    start, end = edges.unbind(dim=1)
    index = (is_inside.index_select(0, start) != is_inside.index_select(0, end)).nonzero()[:, 0]
    number = torch.empty(len(edges), dtype=torch.int64, device=edges.device)
    number[index] = torch.arange(len(index), device=edges.device)
    return edges[index], number


@cache
def _triangles() -> Int[Tensor, "16 2 3"]:
    """Edges on which the triangles of each case have their corners; bit k of a case says that corner k is inside."""
    table = torch.full((16, 2, 3), -1)
    for case in range(1, 15):
        polygon = _polygon(case)
        for count in range(len(polygon) - 2):
            table[case, count] = torch.tensor([polygon[0], polygon[count + 1], polygon[count + 2]])
    return table


def _polygon(case: int) -> list[int]:
    """The crossed edges of a case around the inside corners, counter-clockwise seen from outside."""
    inside = [corner for corner in range(4) if case >> corner & 1]
    outside = [corner for corner in range(4) if not case >> corner & 1]
    # With two corners on either side, the order ac, ad, bd, bc goes around: neighbours share a corner.
    pairs = [(a, b) for k, a in enumerate(inside) for b in (outside if k % 2 == 0 else outside[::-1])]
    corners = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    middle = [0.5 * (corners[a] + corners[b]) for a, b in pairs]
    normal = torch.linalg.cross(middle[1] - middle[0], middle[2] - middle[0])
    is_outward = float(normal @ (corners[outside].mean(dim=0) - corners[inside].mean(dim=0))) > 0.0
    polygon = [EDGES.index((min(pair), max(pair))) for pair in pairs]
    return polygon if is_outward else polygon[::-1]
