"""Rasterization in plain torch: every pixel against every triangle, in chunks. For small meshes and tests."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.ops.torch.precision import at_least_float32
from framework.structures.surface import interpolate as at_points

_PAIRS_AT_ONCE = 1 << 20


def rasterize(
    screen: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"], height: int, width: int
) -> tuple[Int[Tensor, "B H W"], Float[Tensor, "B H W 3"], Float[Tensor, "B H W"]]:
    """Faces, barycentric coordinates, and depths along the camera's axis, of vertices in pixel coordinates."""
    rays = _rays(height, width, screen)
    corners = screen[:, faces.long()]  # (B, F, 3 corners, 3)
    chunk = max(1, _PAIRS_AT_ONCE // len(faces))
    face = torch.stack([torch.cat([_nearest(view, part) for part in rays.split(chunk)]) for view in corners.detach()])
    view, pixel = (face >= 0).nonzero(as_tuple=True)
    seen = corners[view, face[view, pixel]]  # (N, 3 corners, 3)
    products = torch.einsum("nki,ni->nk", _edge_normals(seen), rays[pixel])
    shares = products / products.sum(dim=1, keepdim=True)
    barycentric = screen.new_zeros(*face.shape, 3).index_put((view, pixel), shares)
    depth = screen.new_zeros(face.shape).index_put((view, pixel), (shares * seen[:, :, 2]).sum(dim=1))
    shape = (len(screen), height, width)
    return face.view(shape), barycentric.view(*shape, 3), depth.view(shape)


def interpolate(
    values: Float[Tensor, "V C"], faces: Int[Tensor, "F 3"], face: Int[Tensor, "P"], barycentric: Float[Tensor, "P 3"]
) -> Float[Tensor, "P C"]:
    """See `framework.ops.rasterization.interpolate`; here for P pixels in a row."""
    values = at_least_float32(values)
    (pixel,) = (face >= 0).nonzero(as_tuple=True)
    blended = at_points(values, faces, face[pixel], barycentric[pixel].to(values.dtype))
    return values.new_zeros(len(face), values.shape[1]).index_put((pixel,), blended)


def _rays(height: int, width: int, like: Tensor) -> Float[Tensor, "P 3"]:
    """Directions of all pixels, row by row, in pixel coordinates."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([u + 0.5, v + 0.5, torch.ones_like(u)], dim=-1).reshape(-1, 3).to(like)


def _edge_normals(corners: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 3 3"]:
    """The cross products of the corners after each corner, in turn: P_1 x P_2, P_2 x P_0, P_0 x P_1."""
    starts, ends = corners.roll(-1, dims=1), corners.roll(-2, dims=1)
    return 0.5 * torch.linalg.cross(starts + ends, ends - starts)


def _nearest(corners: Float[Tensor, "F 3 3"], rays: Float[Tensor, "P 3"]) -> Int[Tensor, "P"]:
    """The nearest of the triangles on each ray, -1 where there is none."""
    products = torch.einsum("fki,pi->pfk", _edge_normals(corners), rays)
    total = products.sum(dim=2)
    depth = torch.einsum("pfk,fk->pf", products, corners[:, :, 2]) / total
    is_inside = (products >= 0.0).all(dim=2) | (products <= 0.0).all(dim=2)
    nearest, face = torch.where(is_inside & (depth > 0.0), depth, math.inf).min(dim=1)
    return face.masked_fill(nearest.isinf(), -1)
