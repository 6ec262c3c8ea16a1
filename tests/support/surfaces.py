"""Shapes with a known signed distance, and what can be counted and measured on meshes of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from framework.structures.mesh import Mesh

TORUS_RADIUS, TUBE_RADIUS = 0.5, 0.22


def sphere(positions: Tensor, radius: float = 0.6) -> Tensor:
    """Signed distance to a sphere around the origin."""
    return positions.norm(dim=1) - radius


def torus(positions: Tensor) -> Tensor:
    """Signed distance to a torus around the z axis."""
    ring = torch.stack([positions[:, :2].norm(dim=1) - TORUS_RADIUS, positions[:, 2]], dim=1)
    return ring.norm(dim=1) - TUBE_RADIUS


def blobs(positions: Tensor) -> Tensor:
    """Negative inside two overlapping balls of different size with a smooth waist; close to a distance."""
    first = (positions - positions.new_tensor([0.3, 0.1, 0.1])).norm(dim=1) - 0.4
    second = (positions - positions.new_tensor([-0.3, -0.1, -0.15])).norm(dim=1) - 0.33
    return -torch.logsumexp(torch.stack([-first, -second]) * 12.0, dim=0) / 12.0


def is_closed(faces: Tensor) -> bool:
    """Whether each edge has exactly two faces, which run through it in opposite directions."""
    directed = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).long()
    stride = int(faces.max()) + 1
    forward = (directed[:, 0] * stride + directed[:, 1]).sort().values
    backward = (directed[:, 1] * stride + directed[:, 0]).sort().values
    return torch.equal(forward, backward) and len(forward.unique()) == len(forward)


def euler_characteristic(faces: Tensor) -> int:
    """Vertices - edges + faces of a closed mesh; 2 for a sphere, 0 for a torus."""
    return len(faces.unique()) - 3 * len(faces) // 2 + len(faces)


def area(mesh: Mesh) -> float:
    """Of all faces."""
    return float(mesh.face_areas().detach().sum())


def torus_area() -> float:
    """Of the surface of `torus`."""
    return 4.0 * math.pi**2 * TORUS_RADIUS * TUBE_RADIUS


def torus_volume() -> float:
    """Of the solid that `torus` encloses."""
    return 2.0 * math.pi**2 * TORUS_RADIUS * TUBE_RADIUS**2
