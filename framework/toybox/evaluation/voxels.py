"""Solids as cells: the cube [-1, 1]^3, which holds every scene, in 64 cells a side, indexed [x, y, z].

A cell is occupied if its centre lies in the solid. Scenes are asked by their signed distance, meshes by their winding
number, so a mesh need not be watertight.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.ops.mesh_raycasting import RayCaster
from framework.structures.mesh import Mesh
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.scenes import Scene

RESOLUTION = 64
"""Cells along each side of the cube."""

_POINTS_AT_ONCE = 1 << 15


def cell_centers(resolution: int = RESOLUTION) -> Float[Tensor, "R R R 3"]:
    """World positions of the centres of all cells."""
    line = (torch.arange(resolution) + 0.5) * (2.0 / resolution) - 1.0
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)


def voxelize(mesh: Mesh, *, resolution: int = RESOLUTION) -> Bool[Tensor, "R R R"]:
    """The cells that a mesh occupies; none if it has no faces. What lies outside the cube is not seen."""
    occupied = torch.zeros(resolution, resolution, resolution, dtype=torch.bool)
    if len(mesh.faces) == 0:
        return occupied
    vertices, faces = mesh.vertices.detach().cpu(), mesh.faces.cpu()
    corners = vertices[faces.long()].flatten(0, 1)
    centers = cell_centers(resolution)
    is_near = ((centers >= corners.amin(dim=0)) & (centers <= corners.amax(dim=0))).all(dim=-1)
    occupied[is_near] = RayCaster(vertices, faces).inside(centers[is_near])
    return occupied


@torch.no_grad()
def scene_cells(scene: Scene, *, resolution: int = RESOLUTION) -> Bool[Tensor, "R R R"]:
    """The cells that a scene occupies."""
    occupied = torch.zeros(resolution, resolution, resolution, dtype=torch.bool)
    centers = cell_centers(resolution)
    is_near = centers.norm(dim=-1) <= 1.0
    pack = ScenePack.from_scenes([scene])
    parts = [signed_distance(pack, points[None])[0] <= 0.0 for points in centers[is_near].split(_POINTS_AT_ONCE)]
    occupied[is_near] = torch.cat(parts)
    return occupied


def intersection_over_union(first: Bool[Tensor, "R R R"], second: Bool[Tensor, "R R R"]) -> float:
    """Shared cells over the cells of either; zero if both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 0.0
