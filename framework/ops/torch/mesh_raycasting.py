"""Mesh queries in plain torch: every ray and point against every triangle, in chunks. For small meshes and tests."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.ops.mesh_raycasting import NearestPoints, RayHits
from framework.structures.rays import Rays

_PAIRS_AT_ONCE = 1 << 20
_CANDIDATES = 4


class RayCaster:
    """See `framework.ops.mesh_raycasting.RayCaster`."""

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> None:
        self._corners = vertices[faces.long()]  # (F, 3 corners, 3)

    @torch.no_grad()
    def cast(self, rays: Rays) -> RayHits:
        """The first triangle that each ray meets at a positive distance."""
        chunk = max(1, _PAIRS_AT_ONCE // len(self._corners))
        parts = [self._cast(rays[first : first + chunk]) for first in range(0, max(len(rays), 1), chunk)]
        return RayHits.concatenate(parts)

    @torch.no_grad()
    def inside(self, points: Float[Tensor, "P 3"]) -> Bool[Tensor, "P"]:
        """Whether points lie inside, by their winding number."""
        chunk = max(1, _PAIRS_AT_ONCE // len(self._corners))
        parts = [self._winding_number(part) > 0.5 for part in points.float().split(chunk)]
        return torch.cat(parts)

    @torch.no_grad()
    def nearest(self, points: Float[Tensor, "P 3"]) -> NearestPoints:
        """The point of the mesh that is nearest to each of `points`."""
        chunk = max(1, _PAIRS_AT_ONCE // (_CANDIDATES * len(self._corners)))
        return NearestPoints.concatenate([self._nearest(part) for part in points.float().split(chunk)])

    def _cast(self, rays: Rays) -> RayHits:
        """Moeller and Trumbore, "Fast, minimum storage ray-triangle intersection", 1997."""
        first, second, third = self._corners.unbind(dim=1)
        edge_2, edge_3 = second - first, third - first
        direction = rays.directions.float()[:, None]  # (N, 1, 3), against (F, 3)
        normal_2 = torch.linalg.cross(direction, edge_3[None])
        determinant = (edge_2 * normal_2).sum(dim=-1)
        to_origin = rays.origins.float()[:, None] - first
        normal_3 = torch.linalg.cross(to_origin, edge_2[None])
        share_2 = (to_origin * normal_2).sum(dim=-1) / determinant  # not finite where ray and triangle are parallel
        share_3 = (direction * normal_3).sum(dim=-1) / determinant
        distance = (edge_3 * normal_3).sum(dim=-1) / determinant
        is_hit = (share_2 >= 0.0) & (share_3 >= 0.0) & (share_2 + share_3 <= 1.0) & (distance > 0.0)
        nearest, face = torch.where(is_hit, distance, math.inf).min(dim=1)
        share_2, share_3 = share_2.gather(1, face[:, None])[:, 0], share_3.gather(1, face[:, None])[:, 0]
        barycentric = torch.stack([1.0 - share_2 - share_3, share_2, share_3], dim=1)
        is_missed = nearest.isinf()
        return RayHits(nearest, face.masked_fill(is_missed, -1), barycentric.masked_fill(is_missed[:, None], 0.0))

    def _nearest(self, points: Float[Tensor, "P 3"]) -> NearestPoints:
        distance, _ = _nearest_on(self._corners, points[:, None])  # (P, F)
        face = distance.argmin(dim=1)
        return NearestPoints(distance.amin(dim=1), face, _nearest_on(self._corners[face], points)[1])

    def _winding_number(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
        """Sum of signed solid angles over the full angle (van Oosterom and Strackee, 1983; Jacobson et al., 2013)."""
        a, b, c = (self._corners[None] - points[:, None, None]).unbind(dim=2)  # each (P, F, 3)
        norm_a, norm_b, norm_c = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
        volume = (a * torch.linalg.cross(b, c)).sum(dim=-1)
        spread = norm_a * norm_b * norm_c
        spread = spread + (a * b).sum(dim=-1) * norm_c + (b * c).sum(dim=-1) * norm_a + (c * a).sum(dim=-1) * norm_b
        return 2.0 * torch.atan2(volume, spread).sum(dim=1) / (4.0 * math.pi)


def _nearest_on(corners: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of points to triangles, and barycentric coordinates of the nearest point of each triangle.

    It is the foot of the perpendicular where that lies in the triangle, else the nearest point of one of its sides.

    Args:
        corners: (..., 3, 3), corner by corner; its leading shape and that of `points` are broadcast.
        points: (..., 3).

    Returns:
        Distances (...) and shares of the corners (..., 3).
    """
    shares = torch.stack([_foot(corners, points), *(_on_side(corners, points, start) for start in range(3))], dim=-2)
    positions = shares @ corners  # (..., 4, 3)
    distances = (positions - points[..., None, :]).norm(dim=-1)  # not a number where the foot lies outside
    best, index = torch.nan_to_num(distances, nan=math.inf).min(dim=-1)
    return best, torch.gather(shares, -2, index[..., None, None].expand(*index.shape, 1, 3))[..., 0, :]


def _foot(corners: Tensor, points: Tensor) -> Tensor:
    """Shares of the corners in the foot of the perpendicular; not numbers where it lies outside."""
    first, second, third = corners.unbind(dim=-2)
    edge_2, edge_3, offset = torch.broadcast_tensors(second - first, third - first, points - first)
    normal = torch.linalg.cross(edge_2, edge_3)
    squared = normal.square().sum(dim=-1)
    share_2 = (torch.linalg.cross(offset, edge_3) * normal).sum(dim=-1) / squared
    share_3 = (torch.linalg.cross(edge_2, offset) * normal).sum(dim=-1) / squared
    shares = torch.stack([1.0 - share_2 - share_3, share_2, share_3], dim=-1)
    return torch.where((shares >= 0.0).all(dim=-1, keepdim=True), shares, math.nan)


def _on_side(corners: Tensor, points: Tensor, start: int) -> Tensor:
    """Shares of the corners in the nearest point of the side from corner `start` to the next."""
    end = (start + 1) % 3
    side = corners[..., end, :] - corners[..., start, :]
    along = ((points - corners[..., start, :]) * side).sum(dim=-1) / side.square().sum(dim=-1).clamp_min(1e-30)
    along = along.clamp(0.0, 1.0)
    shares = [torch.zeros_like(along)] * 3
    shares[start], shares[end] = 1.0 - along, along
    return torch.stack(shares, dim=-1)
