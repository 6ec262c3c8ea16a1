"""FlexiCubes: a dual surface of a grid of signed distances whose vertices move within their cubes (arXiv:2308.05371).

Each loop in which the surface crosses a cube (`cube_cases`) gets one vertex, a weighted mean of the loop's crossings, and
each crossed edge of the grid a quad between the vertices of the four cubes around it. Weights of a cube let its vertices
follow sharp features: `alpha` moves crossings along edges (eq. 4), `beta` weighs crossings (eq. 5), `gamma` chooses how
quads are cut. The surface is a closed manifold for any distances that are positive on the border of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.geometry.cube_cases import corner_of, cube_cases, edge_corners

_AROUND = ((1, 1), (0, 1), (0, 0), (1, 0))
"""Where an edge lies in the four cubes around it, counter-clockwise about its direction."""


@dataclass(frozen=True, eq=False)
class CubeWeights:
    """Positive weights of N cubes; corners and edges are numbered as in `cube_cases`.

    Attributes:
        alpha: Of corners in the crossings on their edges.
        beta: Of crossings in the vertex of their loop.
        gamma: Of the cube's vertices in the middles of quads.
    """

    alpha: Float[Tensor, "N 8"]
    beta: Float[Tensor, "N 12"]
    gamma: Float[Tensor, "N"]


@dataclass(frozen=True, eq=False)
class DualSurface:
    """A surface whose vertices lie within the cubes of a grid.

    Attributes:
        vertices: One for each loop, then the middles of quads, if these were cut in four.
        faces: Counter-clockwise seen from outside.
        deviation: How much the distances of each loop's vertex to its crossings differ, as their mean absolute
            deviation, world units; its mean is the regulariser L_dev.
        crossed: The crossed edges of the grid, as indices of its vertices.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    deviation: Float[Tensor, "L"]
    crossed: Int[Tensor, "E 2"]


@dataclass(frozen=True, eq=False)
class _ActiveCubes:
    """The cubes that the surface crosses.

    Attributes:
        cube: Their flat indices.
        corners: Flat indices of their corners.
        loop: Number of the vertex that each edge of a cube belongs to, -1 where it is not crossed.
        num_vertices: Loops of all of them.
        row: The place of each cube of the grid among them; undefined for the others.
    """

    cube: Int[Tensor, "C"]
    corners: Int[Tensor, "C 8"]
    loop: Int[Tensor, "C 12"]
    num_vertices: int
    row: Int[Tensor, "N"]


def dual_surface(
    positions: Float[Tensor, "V 3"],
    signed_distance: Float[Tensor, "X Y Z"],
    weights: CubeWeights | None = None,
    *,
    cuts_in_four: bool = False,
) -> DualSurface:
    """The dual surface of a grid with X Y Z = V vertices, the last axis running fastest.

    Args:
        positions: Of the grid's vertices.
        signed_distance: Negative inside; zero counts as outside. Must be positive on the border of the grid.
        weights: Of its (X - 1)(Y - 1)(Z - 1) cubes; all one without them (surface nets).
        cuts_in_four: Put a vertex into the middle of each quad, which is differentiable with respect to `gamma`, as in
            training; otherwise quads are cut along the diagonal with the larger weights.

    Raises:
        ValueError: If something lies inside on the border.
    """
    is_inside = signed_distance < 0.0
    inner = is_inside[1:-1, 1:-1, 1:-1]
    if int(inner.sum()) != int(is_inside.sum()):
        raise ValueError("dual_surface: distances must be positive on the border of the grid, where nothing closes it.")
    cubes = _active_cubes(is_inside)
    alpha, beta, gamma = _rows(weights, cubes, positions)
    cube, edge = (cubes.loop >= 0).nonzero().unbind(dim=1)
    vertex = cubes.loop[cube, edge]
    crossings = _crossings(positions, signed_distance.flatten(), alpha, cubes, cube, edge)
    vertices = _means(crossings, beta[cube, edge], vertex, cubes.num_vertices)
    distances = (vertices.index_select(0, vertex) - crossings).norm(dim=1)
    centred = (distances - _means(distances[:, None], None, vertex, cubes.num_vertices)[vertex, 0]).abs()
    deviation = _means(centred[:, None], None, vertex, cubes.num_vertices)[:, 0]

    quads, owners, crossed = _quads(is_inside, cubes)
    share = gamma.index_select(0, owners.flatten()).view_as(quads)
    vertices, faces = (_cut_in_four if cuts_in_four else _cut_in_two)(vertices, quads, share)
    return DualSurface(vertices, faces, deviation, crossed)


def _active_cubes(is_inside: Bool[Tensor, "X Y Z"]) -> _ActiveCubes:
    size_x, size_y, size_z = is_inside.shape
    case = torch.zeros(size_x - 1, size_y - 1, size_z - 1, dtype=torch.int64, device=is_inside.device)
    for x in range(2):
        for y in range(2):
            for z in range(2):
                part = is_inside[x : size_x - 1 + x, y : size_y - 1 + y, z : size_z - 1 + z]
                case |= part.long() << corner_of(x, y, z)
    place = ((case > 0) & (case < 255)).nonzero()
    cube = (place[:, 0] * (size_y - 1) + place[:, 1]) * (size_z - 1) + place[:, 2]
    loop, count = (table.to(case.device) for table in (cube_cases().loop, cube_cases().num_loops))
    variant = _is_unfolded(case).flatten()[cube].long()
    found = case.flatten()[cube]
    counts = count[found, variant]
    first = counts.cumsum(0) - counts
    local = loop[found, variant]
    row = torch.empty(case.numel(), dtype=torch.int64, device=case.device)
    row[cube] = torch.arange(len(cube), device=case.device)
    lowest = (place[:, 0] * size_y + place[:, 1]) * size_z + place[:, 2]
    steps = [(x * size_y + y) * size_z + z for x in range(2) for y in range(2) for z in range(2)]
    corners = lowest[:, None] + torch.tensor(steps, device=case.device)
    numbers = torch.where(local >= 0, local + first[:, None], -1)
    return _ActiveCubes(cube, corners, numbers, int(counts.sum()), row)


def _is_unfolded(case: Int[Tensor, "X Y Z"]) -> Bool[Tensor, "X Y Z"]:
    """Cubes whose folded face is folded on its other side, too."""
    fold = cube_cases().fold.to(case.device)[case]
    result = torch.zeros_like(case, dtype=torch.bool)
    for axis in range(3):
        count = case.shape[axis] - 1
        lower, upper = (fold.narrow(axis, start, count) for start in (0, 1))
        both = (lower == 2 * axis + 1) & (upper == 2 * axis)
        for start in (0, 1):
            result.narrow(axis, start, count).logical_or_(both)
    return result


def _rows(weights: CubeWeights | None, cubes: _ActiveCubes, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if weights is None:
        count = len(cubes.cube)
        return like.new_ones(count, 8), like.new_ones(count, 12), like.new_ones(count)
    return (
        weights.alpha.index_select(0, cubes.cube),
        weights.beta.index_select(0, cubes.cube),
        weights.gamma.index_select(0, cubes.cube),
    )


def _crossings(
    positions: Tensor, values: Tensor, alpha: Tensor, cubes: _ActiveCubes, cube: Tensor, edge: Tensor
) -> Float[Tensor, "M 3"]:
    """Where edges of cubes are crossed, each cube having its own opinion (eq. 4)."""
    ends = _edge_corners().to(edge.device)[edge]  # (M, 2) corners of the cube
    start, end = (cubes.corners[cube, ends[:, side]] for side in range(2))
    weighted, other = (
        values.index_select(0, vertex) * alpha.flatten().index_select(0, 8 * cube + ends[:, side])
        for side, vertex in enumerate((start, end))
    )
    first, second = positions.index_select(0, start), positions.index_select(0, end)
    return first + (weighted / (weighted - other))[:, None] * (second - first)


def _means(values: Float[Tensor, "M C"], weights: Tensor | None, group: Tensor, num_groups: int) -> Tensor:
    """Weighted means of the rows of each group."""
    weights = values.new_ones(len(values)) if weights is None else weights
    total = values.new_zeros(num_groups, values.shape[1]).index_add(0, group, weights[:, None] * values)
    return total / weights.new_zeros(num_groups).index_add(0, group, weights)[:, None]


def _quads(is_inside: Bool[Tensor, "X Y Z"], cubes: _ActiveCubes) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices (Q, 4) of the quad around each crossed edge, the rows of their cubes (Q, 4), and the edges (Q, 2)."""
    size = torch.tensor(is_inside.shape, device=is_inside.device)
    strides = torch.stack([size[1] * size[2], size[2], torch.ones_like(size[2])])
    cube_strides = torch.stack([(size[1] - 1) * (size[2] - 1), size[2] - 1, torch.ones_like(size[2])])
    quads, owners, edges = [], [], []
    for axis in range(3):
        starts, ends = is_inside.narrow(axis, 0, int(size[axis]) - 1), is_inside.narrow(axis, 1, int(size[axis]) - 1)
        place = (starts != ends).nonzero()
        u_axis, v_axis = (axis + 1) % 3, (axis + 2) % 3
        at = place @ cube_strides
        rows = [cubes.row[at - u * cube_strides[u_axis] - v * cube_strides[v_axis]] for u, v in _AROUND]
        corners = [cubes.loop[row, 4 * axis + 2 * u + v] for row, (u, v) in zip(rows, _AROUND, strict=True)]
        quad, owner = torch.stack(corners, dim=1), torch.stack(rows, dim=1)
        is_forward = starts[tuple(place.T)][:, None]
        quads.append(torch.where(is_forward, quad, quad.flip(1)))
        owners.append(torch.where(is_forward, owner, owner.flip(1)))
        start = place @ strides
        edges.append(torch.stack([start, start + strides[axis]], dim=1))
    return torch.cat(quads), torch.cat(owners), torch.cat(edges)


def _cut_in_two(vertices: Tensor, quads: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Along the diagonal whose ends have the larger product of weights."""
    is_first = gamma[:, 0] * gamma[:, 2] >= gamma[:, 1] * gamma[:, 3]
    turned = torch.where(is_first[:, None], quads, quads.roll(-1, dims=1))
    return vertices, torch.cat([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]])


def _cut_in_four(vertices: Tensor, quads: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Around a mean of the middles of both diagonals, weighted by the products of weights at their ends."""
    corners = vertices.index_select(0, quads.flatten()).view(*quads.shape, 3)
    first, second = gamma[:, 0] * gamma[:, 2], gamma[:, 1] * gamma[:, 3]
    middles = 0.5 * (corners[:, :2] + corners[:, 2:])  # (Q, 2, 3)
    share = (first / (first + second))[:, None]
    center = share * middles[:, 0] + (1.0 - share) * middles[:, 1]
    index = len(vertices) + torch.arange(len(quads), device=quads.device)
    faces = [torch.stack([quads[:, side], quads[:, (side + 1) % 4], index], dim=1) for side in range(4)]
    return torch.cat([vertices, center]), torch.cat(faces)


@cache
def _edge_corners() -> Int[Tensor, "12 2"]:
    return torch.tensor(edge_corners())
