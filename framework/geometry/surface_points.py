"""Random points on a mesh, uniform by area."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.mesh import Mesh
from framework.structures.surface import interpolate


def surface_points(
    mesh: Mesh, count: int, generator: torch.Generator
) -> tuple[Int[Tensor, "N"], Float[Tensor, "N 3"], Float[Tensor, "N 3"]]:
    """Faces, barycentric coordinates and world positions of `count` points on a mesh.

    Args:
        mesh: With faces.
        count: How many points.
        generator: On the CPU.
    """
    face = torch.multinomial(mesh.face_areas().detach().cpu(), count, replacement=True, generator=generator)
    first, second = torch.rand(2, count, generator=generator)
    root = first.sqrt()  # Turk, "Generating random points in triangles", 1990
    barycentric = torch.stack([1.0 - root, root * (1.0 - second), root * second], dim=1)
    face, barycentric = face.to(mesh.vertices.device), barycentric.to(mesh.vertices.device)
    return face, barycentric, interpolate(mesh.vertices, mesh.faces, face, barycentric)
