"""Marching cubes in torch (Lorensen and Cline, 1987), with the case tables that Warp publishes.

The tables join ambiguous faces the same way from both sides, so a surface that does not touch the border of the grid
has no holes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def marching_cubes(field: Float[Tensor, "X Y Z"]) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Vertices and faces of the surface where `field` is zero, faces counter-clockwise seen from where it is negative.

    Args:
        field: Positive inside.

    Returns:
        Vertices in units of the grid's indices, none twice, and faces by vertex index; empty if nothing changes sign.
    """
    _, size_y, size_z = field.shape
    strides = torch.tensor([size_y * size_z, size_z, 1], device=field.device)
    corners = torch.tensor(_tables().CUBE_CORNER_OFFSETS, device=field.device)[
        _edge_corners().to(field.device)
    ]  # (12, 2, 3)
    edge_start, edge_axis = (corners.amin(dim=1) * strides).sum(dim=1), corners.diff(dim=1)[:, 0].abs().argmax(dim=1)
    case, cell = _crossed_cells(field)
    edges = _case_edges().to(field.device)[case]  # (C, 15), three edges to a triangle
    is_used = edges >= 0
    # An edge of the grid is known by the vertex that it starts from and its axis; neighbouring cells agree on that.
    keys = (3 * (cell[:, None] + edge_start[edges.clamp_min(0)]) + edge_axis[edges.clamp_min(0)])[is_used]
    unique, index = torch.unique(keys, return_inverse=True)
    start, axis = unique // 3, unique % 3
    values = field.reshape(-1)
    share = values[start] / (values[start] - values[start + strides[axis]])
    vertices = torch.stack([start // (size_y * size_z), start // size_z % size_y, start % size_z], dim=-1).to(field)
    vertices[torch.arange(len(axis), device=field.device), axis] += share
    # The tables turn triangles towards the inside.
    return vertices, index.reshape(-1, 3).flip(1)


def _crossed_cells(field: Float[Tensor, "X Y Z"]) -> tuple[Int[Tensor, "C"], Int[Tensor, "C"]]:
    """Case numbers of the cells that the surface crosses, and the flat index of each one's lowest corner."""
    size_x, size_y, size_z = field.shape
    is_inside = field > 0.0
    case = torch.zeros(size_x - 1, size_y - 1, size_z - 1, dtype=torch.int64, device=field.device)
    for bit, (x, y, z) in enumerate(_tables().CUBE_CORNER_OFFSETS):
        case |= is_inside[x : size_x - 1 + x, y : size_y - 1 + y, z : size_z - 1 + z].long() << bit
    cells = ((case > 0) & (case < 255)).nonzero()
    flat = (cells[:, 0] * size_y + cells[:, 1]) * size_z + cells[:, 2]
    return case[tuple(cells.T)], flat


@cache
def _tables() -> Any:
    """Warp's case tables; imported when they are needed, because that takes a third of a second."""
    from warp.geometry import IsoSurfaceMarchingCubes

    return IsoSurfaceMarchingCubes


@cache
def _edge_corners() -> Int[Tensor, "12 2"]:
    return torch.tensor(_tables().EDGE_TO_CORNERS)


@cache
def _case_edges() -> Int[Tensor, "256 15"]:
    """The cell edges on which the triangles of each case have their corners, -1 where there are fewer triangles."""
    table = torch.full((256, 15), -1)
    for case in range(256):
        first, last = _tables().CASE_TO_TRI_RANGE[case : case + 2]
        table[case, : last - first] = torch.tensor(_tables().TRI_LOCAL_INDICES[first:last])
    return table
