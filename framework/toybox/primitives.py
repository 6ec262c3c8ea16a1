"""Signed distances of the solids that toybox scenes are built from, in torch.

Every solid lies about its local origin and is described by five lengths: four that depend on the kind, and a rounding
that is subtracted from the distance (a point rounded by r is a sphere, a segment a capsule). All distances are exact,
inside and outside; `tracing_warp` holds the same formulas for Warp. Many solids reduce to a plane figure, so the module
has the figures first (points `(u, v)`), then the solids (points `(x, y, z)`).

Parameters by kind (half lengths, local axes):
    BOX         x, y, z
    FRUSTUM     bottom radius, top radius, height: a cone or cylinder about z
    ROUND_CONE  bottom radius, top radius, height: the hull of two spheres at -height and +height on z
    ARC         ring radius, sine and cosine of half the opening angle: a circle in the xy plane, centred on +x
    TUBE        middle radius, wall, height: a hollow cylinder about z
    PRISM       bottom width, top width, height, depth: a trapezoid in the xz plane along y
    PYRAMID     bottom, top, height: a square frustum about z
    BOWL        radius, rim height: the shell of a sphere below the rim
    DOME        radius, cut height: the part of a ball above the cut
    STAR        outer radius, inner radius, depth: five points in the xy plane, the first on +x, along z
    HEART       size, depth: point at the origin, lobes towards +y, along z
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum

import torch
from jaxtyping import Float
from torch import Tensor

NUM_PARAMETERS = 5


class Kind(IntEnum):
    """The solids; the numbers are shared with the Warp kernels."""

    BOX = 0
    FRUSTUM = 1
    ROUND_CONE = 2
    ARC = 3
    TUBE = 4
    PRISM = 5
    PYRAMID = 6
    BOWL = 7
    DOME = 8
    STAR = 9
    HEART = 10


def local_distance(
    kind: Kind, points: Float[Tensor, "K M 3"], parameters: Float[Tensor, "K 5"]
) -> Float[Tensor, "K M"]:
    """Signed distance of M local points to each of K solids of one kind (negative inside)."""
    a, b, c, d, rounding = parameters[:, None, :].unbind(dim=-1)  # (K, 1) each
    return _DISTANCES[kind](points, (a, b, c, d)) - rounding


_Lengths = tuple[Tensor, Tensor, Tensor, Tensor]


def _length(u: Tensor, v: Tensor) -> Tensor:
    return torch.sqrt(u * u + v * v)


def _rectangle(u: Tensor, v: Tensor, half_u: Tensor, half_v: Tensor) -> Tensor:
    du, dv = u.abs() - half_u, v.abs() - half_v
    return _length(du.clamp(min=0), dv.clamp(min=0)) + torch.maximum(du, dv).clamp(max=0)


def _trapezoid(u: Tensor, v: Tensor, bottom: Tensor, top: Tensor, half_height: Tensor) -> Tensor:
    """Isosceles trapezoid about the v axis: the nearer of its parallel sides and its slanted side."""
    u = u.abs()
    flat_u = (u - torch.where(v < 0, bottom, top)).clamp(min=0)
    flat_v = v.abs() - half_height
    edge_u, edge_v = top - bottom, 2 * half_height
    along = ((u - bottom) * edge_u + (v + half_height) * edge_v) / (edge_u * edge_u + edge_v * edge_v)
    along = along.clamp(0, 1)
    slant_u, slant_v = u - bottom - along * edge_u, v + half_height - along * edge_v
    squared = torch.minimum(flat_u * flat_u + flat_v * flat_v, slant_u * slant_u + slant_v * slant_v)
    return torch.sqrt(squared) * torch.where((slant_u < 0) & (flat_v < 0), -1.0, 1.0)


def _star(u: Tensor, v: Tensor, outer: Tensor, inner: Tensor) -> Tensor:
    """Five-pointed star, folded into the wedge between a tip and the next notch."""
    sector = 2 * math.pi / 5
    angle = torch.remainder(torch.atan2(v, u) + 0.5 * sector, sector) - 0.5 * sector
    radius = _length(u, v)
    u, v = radius * torch.cos(angle), radius * torch.sin(angle).abs()
    edge_u, edge_v = inner * math.cos(0.5 * sector) - outer, inner * math.sin(0.5 * sector)
    along = (((u - outer) * edge_u + v * edge_v) / (edge_u * edge_u + edge_v * edge_v)).clamp(0, 1)
    distance = _length(u - outer - along * edge_u, v - along * edge_v)
    return distance * torch.where((u - outer) * edge_v - v * edge_u < 0, -1.0, 1.0)


def _heart(u: Tensor, v: Tensor, size: Tensor) -> Tensor:
    """A square on its corner with a half disc on each upper side; `size` is the diagonal of the square."""
    u, v = u.abs() / size, v / size
    lobe = _length(u - 0.25, v - 0.75) - math.sqrt(0.125)
    along = 0.5 * (u + v).clamp(min=0)
    notch, side = _length(u, v - 1), _length(u - along, v - along)
    body = torch.minimum(notch, side) * torch.where(u < v, -1.0, 1.0)
    return torch.where(u + v > 1, lobe, body) * size


def _extruded(figure: Tensor, w: Tensor, half_depth: Tensor) -> Tensor:
    """A plane figure of signed distance `figure` along its normal coordinate `w`."""
    dw = w.abs() - half_depth
    return _length(figure.clamp(min=0), dw.clamp(min=0)) + torch.maximum(figure, dw).clamp(max=0)


def _box(p: Tensor, n: _Lengths) -> Tensor:
    q = p.abs() - torch.stack(n[:3], dim=-1)
    return q.clamp(min=0).norm(dim=-1) + q.amax(dim=-1).clamp(max=0)


def _frustum(p: Tensor, n: _Lengths) -> Tensor:
    return _trapezoid(_length(p[..., 0], p[..., 1]), p[..., 2], n[0], n[1], n[2])


def _round_cone(p: Tensor, n: _Lengths) -> Tensor:
    height = (2 * n[2]).clamp(min=1e-9)
    u, v = _length(p[..., 0], p[..., 1]), p[..., 2] + n[2]
    slope = (n[0] - n[1]) / height
    across = torch.sqrt(1 - slope * slope)
    along = across * v - slope * u  # where the foot of the point lies on the segment, scaled by `across`
    side = across * u + slope * v - n[0]
    bottom, top = _length(u, v) - n[0], _length(u, v - height) - n[1]
    return torch.where(along < 0, bottom, torch.where(along > across * height, top, side))


def _arc(p: Tensor, n: _Lengths) -> Tensor:
    x, y = p[..., 0], p[..., 1].abs()
    beyond = n[2] * y > n[1] * x
    reach = torch.where(beyond, n[2] * x + n[1] * y, _length(x, y))
    return torch.sqrt(((p * p).sum(dim=-1) + n[0] * n[0] - 2 * n[0] * reach).clamp(min=0))


def _tube(p: Tensor, n: _Lengths) -> Tensor:
    return _rectangle(_length(p[..., 0], p[..., 1]) - n[0], p[..., 2], n[1], n[2])


def _prism(p: Tensor, n: _Lengths) -> Tensor:
    return _extruded(_trapezoid(p[..., 0], p[..., 2], n[0], n[1], n[2]), p[..., 1], n[3])


def _pyramid(p: Tensor, n: _Lengths) -> Tensor:
    """Folded so that one slanted face is nearest, which is a trapezoid in its own plane."""
    bottom, top, height = n[0], n[1], n[2]
    x, y = p[..., 0].abs(), p[..., 1].abs()
    x, y, z = torch.maximum(x, y), torch.minimum(x, y), p[..., 2]
    slant = _length(bottom - top, 2 * height)
    up_x, up_z = (top - bottom) / slant, 2 * height / slant
    along = (x - 0.5 * (bottom + top)) * up_x + z * up_z
    outward = (x - 0.5 * (bottom + top)) * up_z - z * up_x
    face = _length(_trapezoid(y, along, bottom, top, 0.5 * slant).clamp(min=0), outward)
    half = torch.where(z < 0, bottom, top)
    flat_xy = _length((x - half).clamp(min=0), (y - half).clamp(min=0))
    flat = _length(flat_xy, z.abs() - height)
    return torch.minimum(face, flat) * torch.where((outward < 0) & (z.abs() < height), -1.0, 1.0)


def _bowl(p: Tensor, n: _Lengths) -> Tensor:
    u, v = _length(p[..., 0], p[..., 1]), p[..., 2]
    rim = torch.sqrt(n[0] * n[0] - n[1] * n[1])
    return torch.where(n[1] * u < rim * v, _length(u - rim, v - n[1]), (_length(u, v) - n[0]).abs())


def _dome(p: Tensor, n: _Lengths) -> Tensor:
    u, v = _length(p[..., 0], p[..., 1]), p[..., 2]
    rim = torch.sqrt(n[0] * n[0] - n[1] * n[1])
    shell = _length(u, v) - n[0]
    arc = torch.where(n[1] * u < rim * v, shell.abs(), _length(u - rim, v - n[1]))
    disc = _length((u - rim).clamp(min=0), v - n[1])
    return torch.minimum(arc, disc) * torch.where((shell < 0) & (v > n[1]), -1.0, 1.0)


def _star_prism(p: Tensor, n: _Lengths) -> Tensor:
    return _extruded(_star(p[..., 0], p[..., 1], n[0], n[1]), p[..., 2], n[2])


def _heart_prism(p: Tensor, n: _Lengths) -> Tensor:
    return _extruded(_heart(p[..., 0], p[..., 1], n[0]), p[..., 2], n[1])


_DISTANCES: dict[Kind, Callable[[Tensor, _Lengths], Tensor]] = {
    Kind.BOX: _box,
    Kind.FRUSTUM: _frustum,
    Kind.ROUND_CONE: _round_cone,
    Kind.ARC: _arc,
    Kind.TUBE: _tube,
    Kind.PRISM: _prism,
    Kind.PYRAMID: _pyramid,
    Kind.BOWL: _bowl,
    Kind.DOME: _dome,
    Kind.STAR: _star_prism,
    Kind.HEART: _heart_prism,
}
