"""Texture coordinates of meshes from files, kept beside welded vertices: one for each corner of each face."""

from __future__ import annotations

import dataclasses
import logging

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.geometry.mesh_file import welded_faces
from framework.geometry.surface_points import surface_points
from framework.ops.mesh_raycasting import RayCaster
from framework.structures.mesh import Mesh
from framework.structures.rays import Rays
from framework.structures.surface import interpolate

_log = logging.getLogger(__name__)

_PROBES = 1 << 12
_TOLERANCE = 0.02
"""Distance between points that share a texel, as a share of the mesh's size, from which they count as different."""
_MOST_SHARED = 0.02
"""Share of the surface that may have its texels with another part of it: charts touch each other in any atlas."""


def corner_uvs(mesh: Mesh) -> Float[Tensor, "F 3 2"]:
    """Texture coordinates at the corners of those faces that are left when the mesh is welded, in [0, 1]."""
    assert mesh.uvs is not None
    return mesh.uvs[mesh.faces[welded_faces(mesh)].long()].clamp(0.0, 1.0)


def split_at_seams(mesh: Mesh, uvs: Float[Tensor, "F 3 2"]) -> Mesh:
    """The mesh with texture coordinates and vertex normals; vertices are split where their corners' coordinates differ.

    Normals are those of the whole surface, so that seams do not show; zero where all faces are degenerate.

    Args:
        mesh: Without splits.
        uvs: At the corners of its faces.
    """
    # A corner is its vertex and its two coordinates, whose bits are compared as whole numbers.
    keys = torch.cat(
        [mesh.faces.reshape(-1, 1).long(), uvs.reshape(-1, 2).contiguous().view(torch.int32).long()], dim=1
    )
    corners, index = torch.unique(keys, dim=0, return_inverse=True)
    vertex = corners[:, 0]
    placed = torch.zeros(len(corners), 2, device=uvs.device).index_copy(0, index, uvs.reshape(-1, 2))
    return dataclasses.replace(
        mesh,
        vertices=mesh.vertices[vertex],
        faces=index.view(-1, 3),
        normals=mesh.vertex_normals()[vertex],
        uvs=placed,
    )


def warn_unless_unique(mesh: Mesh, path: str, generator: torch.Generator) -> bool:
    """Whether each point of a mesh has a place of its own in the unit square of its texture; logged if not.

    Coordinates beyond the square (a texture that repeats) and charts that lie on one another (a texture that both halves
    of a thing share) could not be baked anew without one part showing the colours of another.

    Args:
        mesh: With texture coordinates.
        path: Its file.
        generator: Of the points that are looked at, on the CPU.
    """
    assert mesh.uvs is not None
    face, barycentric, positions = surface_points(mesh, _PROBES, generator)
    uvs = interpolate(mesh.uvs, mesh.faces, face, barycentric)
    found = _first_at(mesh, uvs)
    size = mesh.vertices.amax(dim=0).sub(mesh.vertices.amin(dim=0)).max()
    is_shared = ~((found - positions).norm(dim=1) <= _TOLERANCE * size) | ((uvs < 0.0) | (uvs > 1.0)).any(dim=1)
    share = float(is_shared.float().mean())
    if share <= _MOST_SHARED:
        return True
    _log.warning(
        "%s: %.0f %% of its surface share their texels with other parts, so its texture coordinates are not kept. What is "
        "exported is unwrapped anew, with at most export.max_faces triangles.",
        path,
        100.0 * share,
    )
    return False


def _first_at(mesh: Mesh, uvs: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    """World position of the first face found at texture coordinates; not finite where there is none."""
    assert mesh.uvs is not None
    caster = RayCaster(F.pad(mesh.uvs, (0, 1)), mesh.faces)
    directions = uvs.new_tensor([0.0, 0.0, -1.0]).expand(len(uvs), 3).contiguous()
    hits = caster.cast(Rays(F.pad(uvs, (0, 1), value=1.0), directions))
    found = interpolate(mesh.vertices, mesh.faces, hits.face.clamp_min(0), hits.barycentric)
    return torch.where((hits.face >= 0)[:, None], found, torch.nan)
