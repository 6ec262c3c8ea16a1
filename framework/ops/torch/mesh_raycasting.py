"""Mesh queries in plain torch: every ray and point against every triangle, in chunks. For small meshes and tests."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.ops.mesh_raycasting import RayHits
from framework.structures.rays import Rays

_PAIRS_AT_ONCE = 1 << 20


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

    def _winding_number(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
        """Sum of signed solid angles over the full angle (van Oosterom and Strackee, 1983; Jacobson et al., 2013)."""
        a, b, c = (self._corners[None] - points[:, None, None]).unbind(dim=2)  # each (P, F, 3)
        norm_a, norm_b, norm_c = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
        volume = (a * torch.linalg.cross(b, c)).sum(dim=-1)
        spread = norm_a * norm_b * norm_c
        spread = spread + (a * b).sum(dim=-1) * norm_c + (b * c).sum(dim=-1) * norm_a + (c * a).sum(dim=-1) * norm_b
        return 2.0 * torch.atan2(volume, spread).sum(dim=1) / (4.0 * math.pi)
