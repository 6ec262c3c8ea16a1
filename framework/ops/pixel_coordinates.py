"""Homogeneous pixel coordinates, in which triangles are drawn and their outlines followed.

A point at depth t along a camera's axis, seen in column u and row v, is P = (u t, v t, t); u and v count pixels from the
upper left corner of the image, so that the pixel in row i and column j looks along d = (j + 1/2, i + 1/2, 1). P is linear
in the point's position: what lies behind the camera has a P as well, with t < 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.cameras import Cameras


def project(vertices: Float[Tensor, "V 3"], cameras: Cameras) -> Float[Tensor, "B V 3"]:
    """P of world positions in each view; differentiable; computed in float32 or better, under autocast, too."""
    dtype = torch.promote_types(vertices.dtype, torch.float32)
    right, up, backward = cameras.camera_to_world[:, :3, :3].to(dtype).unbind(dim=2)
    focal = _focal_lengths(cameras).to(dtype)[:, None]
    column, row = cameras.principal_points.to(dtype)[:, :, None].unbind(dim=1)
    to_pixels = torch.stack([focal * right - column * backward, -focal * up - row * backward, -backward], dim=2)
    with torch.autocast(vertices.device.type, enabled=False):
        return (vertices.to(dtype) - cameras.positions.to(dtype)[:, None]) @ to_pixels


def ray_lengths(cameras: Cameras) -> Float[Tensor, "B H W"]:
    """Distance along each pixel's ray for one unit of depth along the camera's axis."""
    focal = _focal_lengths(cameras)[:, None, None]
    column, row = (0.5 - cameras.principal_points)[:, :, None].unbind(dim=1)
    x = torch.arange(cameras.width, device=cameras.device) + column  # (B, W)
    y = torch.arange(cameras.height, device=cameras.device) + row
    return torch.sqrt(1.0 + (x[:, None] / focal).square() + (y[:, :, None] / focal).square())


def _focal_lengths(cameras: Cameras) -> Float[Tensor, "B"]:
    """In pixels."""
    return 0.5 * cameras.height / torch.tan(0.5 * cameras.fov_y)
