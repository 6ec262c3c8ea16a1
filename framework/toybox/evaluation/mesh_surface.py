"""A mesh that answers distance, inside and colour at points."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.ops.mesh_raycasting import RayCaster
from framework.structures.mesh import Mesh
from framework.structures.surface import base_color, interpolate


class MeshSurface:
    """Queries of a mesh with colours; its tree is built once.

    Args:
        mesh: In world space.

    Raises:
        ValueError: If the mesh has no area.
    """

    def __init__(self, mesh: Mesh) -> None:
        if not has_surface(mesh):
            raise ValueError("MeshSurface: the mesh has no area.")
        self._mesh = on_cpu(mesh)
        self._caster = RayCaster(self._mesh.vertices, self._mesh.faces)

    def distance(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance to the nearest surface point, not negative, world units."""
        return self._caster.nearest(points).distance

    def inside(self, points: Float[Tensor, "N 3"]) -> Bool[Tensor, "N"]:
        """Whether points lie inside, by the winding number."""
        return self._caster.inside(points)

    def color(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Base colour at the nearest surface points, sRGB values in [0, 1]; textures are looked up bilinearly."""
        nearest = self._caster.nearest(points)
        return base_color(self._mesh, nearest.face, nearest.barycentric)

    def sample(self, count: int, *, generator: torch.Generator) -> Float[Tensor, "N 3"]:
        """Points spread evenly over the area of all faces, those of inner walls included."""
        face = torch.multinomial(self._mesh.face_areas(), count, replacement=True, generator=generator)
        first, second = torch.rand(2, count, generator=generator)
        root = first.sqrt()  # Turk, "Generating random points in triangles", 1990
        barycentric = torch.stack([1.0 - root, root * (1.0 - second), root * second], dim=1)
        return interpolate(self._mesh.vertices, self._mesh.faces, face, barycentric)


def has_surface(mesh: Mesh) -> bool:
    """Whether there is anything to measure."""
    return float(mesh.face_areas().sum()) > 0.0


def on_cpu(mesh: Mesh) -> Mesh:
    """The mesh in main memory, cut from the graph, in single precision."""
    changes: dict[str, Any] = {
        field.name: value.detach().cpu().float() if value.is_floating_point() else value.cpu()
        for field in dataclasses.fields(mesh)
        if isinstance(value := getattr(mesh, field.name), Tensor)
    }
    return dataclasses.replace(mesh, **changes)
