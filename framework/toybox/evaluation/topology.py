"""Whether a mesh is in order, whatever it shows: in one piece, closed, and unwrapped without overlap.

Vertices at equal positions count as one, because meshes with textures have several where charts meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from framework.structures.mesh import Mesh
from framework.toybox.evaluation.mesh_surface import on_cpu

_UV_GRID = 512
"""Side of the grid of points at which overlaps in the texture are looked for."""
_PAIRS_AT_ONCE = 1 << 22
_INSIDE = 1e-5
"""Least share of each corner at points that a triangle covers: neighbours do not share the points on their side."""


@dataclass(frozen=True)
class Topology:
    """What a mesh is made of.

    Attributes:
        num_faces: Triangles.
        num_components: Pieces that share no vertex; the inner wall of a closed hollow is one.
        floater_area: Share of the surface that belongs to other pieces than the largest, by area.
        is_watertight: Every side of a triangle is met by one of a triangle that runs the other way; False if empty.
        uv_overlap: Share of the used texture that more than one triangle uses; None without texture coordinates.
    """

    num_faces: int
    num_components: int
    floater_area: float
    is_watertight: bool
    uv_overlap: float | None


def topology(mesh: Mesh) -> Topology:
    """What a mesh is made of."""
    mesh = on_cpu(mesh)
    faces = _welded(mesh)
    areas = _component_areas(faces, mesh.face_areas())
    total = float(areas.sum())
    floating = 1.0 - float(areas.max()) / total if total > 0.0 else 0.0
    overlap = None if mesh.uvs is None else uv_overlap(mesh.uvs, mesh.faces)
    return Topology(len(mesh.faces), len(areas), max(floating, 0.0), _is_closed(faces), overlap)


def uv_overlap(uvs: Float[Tensor, "V 2"], faces: Int[Tensor, "F 3"]) -> float:
    """Share of the points of a grid, of those that some triangle covers, that more than one covers; 0 if none is.

    Args:
        uvs: Texture coordinates; what lies outside [0, 1] is not seen.
    """
    corners = uvs[faces.long()] * _UV_GRID - 0.5  # in units of the grid, whose points have whole numbers
    low = corners.amin(dim=1).ceil().long().clamp(min=0)
    high = corners.amax(dim=1).floor().long().clamp(max=_UV_GRID - 1)
    size = (high - low + 1).clamp(min=0)
    counts = torch.zeros(_UV_GRID**2, dtype=torch.long)
    num_points = size.prod(dim=1)
    # As many triangles at once as have a bounded number of points in the boxes around them.
    group = num_points.cumsum(dim=0) // _PAIRS_AT_ONCE
    for index in group.unique().tolist():
        chosen = ((group == index) & (num_points > 0)).nonzero()[:, 0]
        counts += _coverage(corners[chosen], low[chosen], size[chosen])
    used = int((counts > 0).sum())
    return int((counts > 1).sum()) / used if used else 0.0


def _coverage(
    corners: Float[Tensor, "F 3 2"], low: Int[Tensor, "F 2"], size: Int[Tensor, "F 2"]
) -> Int[Tensor, "points"]:
    """How many triangles cover each point of the grid, row by row of constant v."""
    num_points = size.prod(dim=1)
    triangle = torch.repeat_interleave(torch.arange(len(corners)), num_points)
    rank = torch.arange(len(triangle)) - (num_points.cumsum(dim=0) - num_points)[triangle]
    point = low[triangle] + torch.stack([rank % size[triangle, 0], rank // size[triangle, 0]], dim=1)
    first, second, third = corners[triangle].double().unbind(dim=1)
    area = _cross(second - first, third - first)
    share_2, share_3 = _cross(point - first, third - first) / area, _cross(second - first, point - first) / area
    is_covered = torch.stack([share_2, share_3, 1.0 - share_2 - share_3]).amin(dim=0) > _INSIDE
    point = point[is_covered]
    return torch.bincount(point[:, 1] * _UV_GRID + point[:, 0], minlength=_UV_GRID**2)


def _cross(first: Float[Tensor, "N 2"], second: Float[Tensor, "N 2"]) -> Float[Tensor, "N"]:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _welded(mesh: Mesh) -> Int[np.ndarray, "F 3"]:
    """The faces over vertices of which no two are at one position."""
    if len(mesh.faces) == 0:
        return np.zeros((0, 3), dtype=np.int64)
    _, index = np.unique(mesh.vertices.numpy(), axis=0, return_inverse=True)
    return index.reshape(-1).astype(np.int64)[mesh.faces.numpy()]


def _component_areas(faces: Int[np.ndarray, "F 3"], areas: Float[Tensor, "F"]) -> Float[np.ndarray, "C"]:
    """Area of each set of faces that hang together."""
    if len(faces) == 0:
        return np.zeros(0)
    size = int(faces.max()) + 1
    start, end = faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1)
    _, label = connected_components(coo_matrix((np.ones(len(start)), (start, end)), shape=(size, size)), directed=False)
    sums = np.bincount(label[faces[:, 0]], weights=areas.double().numpy(), minlength=label.max() + 1)
    is_used = np.zeros(len(sums), dtype=bool)
    is_used[label[faces[:, 0]]] = True  # vertices without faces are no components
    return sums[is_used]


def _is_closed(faces: Int[np.ndarray, "F 3"]) -> bool:
    """Whether each side, from vertex to vertex, occurs as often one way as the other."""
    if len(faces) == 0:
        return False
    start, end = faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    size = int(faces.max()) + 1
    one_way, other_way = np.sort(start * size + end), np.sort(end * size + start)
    return bool(np.array_equal(one_way, other_way))
