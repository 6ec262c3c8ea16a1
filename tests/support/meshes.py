"""Meshes for tests, and points placed by where a camera sees them."""

from __future__ import annotations

import torch
import trimesh
from torch import Tensor

from framework.structures.cameras import Cameras


def icosphere(subdivisions: int, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    """Vertices and faces of a sphere about the origin, 20 * 4^subdivisions triangles."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return torch.from_numpy(sphere.vertices).float(), torch.from_numpy(sphere.faces).long()


def soup(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vertices and faces of separate triangles at random places about the origin."""
    centers = torch.randn(count, 1, 3, generator=generator) * 0.5
    vertices = centers + 0.4 * torch.randn(count, 3, 3, generator=generator)
    return vertices.reshape(-1, 3), torch.arange(3 * count).view(-1, 3)


def orbiting(*azimuth: float, size: int = 32, elevation: float = 0.3, distance: float = 3.0) -> Cameras:
    """Cameras that look at the origin."""
    angles = torch.tensor(azimuth)
    one = torch.ones_like(angles)
    return Cameras.orbit(angles, elevation * one, distance * one, 0.8 * one, height=size, width=size)


def seen_at(cameras: Cameras, pixels: list[tuple[float, float]], depth: float | list[float]) -> Tensor:
    """World points that the first camera sees at (u, v), in pixels from the upper left corner, so deep on its axis."""
    u, v = torch.tensor(pixels).to(cameras.fov_y).unbind(dim=1)
    depths = torch.as_tensor(depth).to(u).expand_as(u)
    focal = 0.5 * cameras.height / torch.tan(0.5 * cameras.fov_y[0])
    local = torch.stack([(u - 0.5 * cameras.width) / focal, (0.5 * cameras.height - v) / focal, -torch.ones_like(u)], 1)
    return depths[:, None] * local @ cameras.camera_to_world[0, :3, :3].T + cameras.positions[0]
