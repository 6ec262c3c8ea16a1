"""Tangent space of textured meshes: what the directions right and up of a normal texture are on the surface.

The tangent points where texture coordinate u grows, the bitangent where v grows (upwards in the image), as in glTF 2.0.
Tangents are weighted by corner angles after projection into the vertex's plane, as in MikkTSpace, and written to the file,
so that no viewer has to guess them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.mesh import Mesh
from framework.structures.surface import interpolate


def vertex_tangents(mesh: Mesh) -> Float[Tensor, "V 4"]:
    """Unit tangents orthogonal to the vertex normals, and the sign of the bitangent, `sign * cross(normal, tangent)`.

    A vertex whose faces have no area in the texture gets some tangent.

    Args:
        mesh: With unit normals and texture coordinates; vertices are split where charts meet.
    """
    assert mesh.normals is not None and mesh.uvs is not None
    faces = mesh.faces.long()
    along_u, along_v = _texture_axes(mesh)
    total, up = torch.zeros_like(mesh.vertices), torch.zeros_like(mesh.vertices)
    for corner in range(3):
        index = faces[:, corner]
        normals, angle = mesh.normals[index], _corner_angle(mesh, corner)
        total.index_add_(0, index, angle[:, None] * _flattened(along_u, normals))
        up.index_add_(0, index, angle[:, None] * along_v)
    tangents = _flattened(total, mesh.normals)
    is_lost = tangents.norm(dim=1) < 0.5
    tangents[is_lost] = _any_tangent(mesh.normals[is_lost])
    side = (torch.linalg.cross(mesh.normals, tangents) * up).sum(dim=1)
    return torch.cat([tangents, torch.where(side < 0.0, -1.0, 1.0)[:, None]], dim=1)


def in_tangent_space(
    directions: Float[Tensor, "N 3"],
    mesh: Mesh,
    tangents: Float[Tensor, "V 4"],
    face: Int[Tensor, "N"],
    barycentric: Float[Tensor, "N 3"],
) -> Float[Tensor, "N 3"]:
    """World-space directions at points of faces by their shares along tangent, bitangent and normal.

    Args:
        directions: World space.
        mesh: With unit normals.
        tangents: Its `vertex_tangents`.
        face, barycentric: Where the directions are.
    """
    return torch.einsum("nkc,nc->nk", _frames(mesh, tangents, face, barycentric), directions)


def from_tangent_space(
    shares: Float[Tensor, "N 3"],
    mesh: Mesh,
    tangents: Float[Tensor, "V 4"],
    face: Int[Tensor, "N"],
    barycentric: Float[Tensor, "N 3"],
) -> Float[Tensor, "N 3"]:
    """World-space directions by their shares along tangent, bitangent and normal; undoes `in_tangent_space`."""
    return torch.einsum("nkc,nk->nc", _frames(mesh, tangents, face, barycentric), shares)


def _frames(
    mesh: Mesh, tangents: Float[Tensor, "V 4"], face: Int[Tensor, "N"], barycentric: Float[Tensor, "N 3"]
) -> Float[Tensor, "N 3 3"]:
    """Tangent, bitangent and normal as rows: orthogonal unit vectors, world space."""
    assert mesh.normals is not None
    normals = F.normalize(interpolate(mesh.normals, mesh.faces, face, barycentric), dim=1)
    blended = interpolate(tangents, mesh.faces, face, barycentric)
    tangent = _flattened(blended[:, :3], normals)
    bitangent = torch.where(blended[:, 3:] < 0.0, -1.0, 1.0) * torch.linalg.cross(normals, tangent)
    return torch.stack([tangent, bitangent, normals], dim=1)


def _texture_axes(mesh: Mesh) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
    """Unit vectors in which u and v grow on each face; zero where the texture has no area."""
    assert mesh.uvs is not None
    faces = mesh.faces.long()
    a, b, c = mesh.vertices[faces].unbind(dim=1)
    ta, tb, tc = mesh.uvs[faces].unbind(dim=1)
    (u1, v1), (u2, v2) = (tb - ta).unbind(dim=1), (tc - ta).unbind(dim=1)
    side = torch.sign(u1 * v2 - u2 * v1)[:, None]
    along_u = (b - a) * v2[:, None] - (c - a) * v1[:, None]
    along_v = (c - a) * u1[:, None] - (b - a) * u2[:, None]
    return side * F.normalize(along_u, dim=1), side * F.normalize(along_v, dim=1)


def _corner_angle(mesh: Mesh, corner: int) -> Float[Tensor, "F"]:
    here, left, right = (mesh.vertices[mesh.faces.long()[:, (corner + k) % 3]] for k in range(3))
    cosine = (F.normalize(left - here, dim=1) * F.normalize(right - here, dim=1)).sum(dim=1)
    return torch.acos(cosine.clamp(-1.0, 1.0))


def _flattened(vectors: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Unit vectors in the planes orthogonal to `normals`; zero where there is none."""
    return F.normalize(vectors - (vectors * normals).sum(dim=1, keepdim=True) * normals, dim=1, eps=1e-6)


def _any_tangent(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    smallest = F.one_hot(normals.abs().argmin(dim=1), 3).to(normals)
    return _flattened(smallest, normals)
