"""The body-centred cubic lattice that fills a cube with almost regular tetrahedra.

Vertices are the corners of n^3 cells and their centres. Two cells that share a face make four tetrahedra around the line
between their centres, one for each side of the face (Labelle and Shewchuk, "Isosurface stuffing", 2007). What remains
along the cube's own faces, a pyramid for each, is cut in two. That makes 12 n^3 tetrahedra on (n + 1)^3 + n^3 vertices.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))


def lattice_vertices(resolution: int) -> Float[Tensor, "V 3"]:
    """Corners, then centres, of `resolution`^3 cells that fill [-1, 1]^3."""
    corner = torch.linspace(-1.0, 1.0, resolution + 1)
    center = 0.5 * (corner[1:] + corner[:-1])
    return torch.cat([torch.cartesian_prod(line, line, line) for line in (corner, center)])


def is_on_border(resolution: int) -> Bool[Tensor, "V"]:
    """Which of those vertices lie on the faces of the cube."""
    return lattice_vertices(resolution).abs().amax(dim=1) == 1.0


def lattice_tetrahedra(resolution: int) -> Int[Tensor, "T 4"]:
    """Vertex indices of all tetrahedra, of positive volume."""
    tetrahedra = torch.cat([part for axis in range(3) for part in _around_faces(resolution, axis)])
    a, b, c, d = lattice_vertices(resolution)[tetrahedra].unbind(dim=1)
    is_negative = (torch.linalg.cross(b - a, c - a) * (d - a)).sum(dim=1) < 0.0
    return torch.where(is_negative[:, None], tetrahedra[:, [1, 0, 2, 3]], tetrahedra)


def _around_faces(resolution: int, axis: int) -> list[Int[Tensor, "T 4"]]:
    """Tetrahedra on the faces of cells that are perpendicular to `axis`: between cells, below and above all cells."""
    line = torch.arange(resolution)
    planes = torch.arange(resolution + 1)
    face = torch.cartesian_prod(*(planes if k == axis else line for k in range(3)))  # by its lowest corner
    offsets = torch.zeros(4, 3, dtype=torch.int64)
    offsets[:, [k for k in range(3) if k != axis]] = torch.tensor(_SQUARE)
    corners = _corner(face[:, None] + offsets, resolution)  # (F, 4), around the face
    below = torch.zeros(3, dtype=torch.int64)
    below[axis] = 1
    before, after = _center(face - below, resolution), _center(face, resolution)
    is_first, is_last = face[:, axis] == 0, face[:, axis] == resolution
    between = ~is_first & ~is_last
    around = [
        torch.stack([before, after, corners[:, side], corners[:, (side + 1) % 4]], dim=1)[between] for side in range(4)
    ]
    pyramids = [
        torch.stack([center, corners[:, 0], corners[:, k], corners[:, k + 1]], dim=1)[is_outer]
        for center, is_outer in ((after, is_first), (before, is_last))
        for k in (1, 2)
    ]
    return [*around, *pyramids]


def _corner(index: Int[Tensor, "... 3"], resolution: int) -> Int[Tensor, "..."]:
    side = resolution + 1
    return (index[..., 0] * side + index[..., 1]) * side + index[..., 2]


def _center(index: Int[Tensor, "... 3"], resolution: int) -> Int[Tensor, "..."]:
    first = (resolution + 1) ** 3
    return first + (index[..., 0] * resolution + index[..., 1]) * resolution + index[..., 2]
