"""Texture atlas: unwrapping a mesh into it, and filling it with colours of the surface."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy  # Its parts are loaded when they are used: ndimage takes a third of a second.
import torch
import xatlas
from jaxtyping import Bool, Float
from torch import Tensor

from framework.ops.mesh_raycasting import RayCaster
from framework.structures.mesh import Mesh
from framework.structures.rays import Rays
from framework.structures.surface import interpolate

SurfaceColor = Callable[[Float[Tensor, "N 3"], Float[Tensor, "N 3"]], Float[Tensor, "N 3"]]
"""Base colour in [0, 1] at surface positions with unit normals."""

_TEXELS_AT_ONCE = 1 << 16
_KINDS = (np.int64, np.int64, np.float32)  # of what xatlas returns: original vertex, faces, coordinates


def unwrap(mesh: Mesh, *, texture_size: int, padding: int) -> Mesh:
    """The mesh with texture coordinates; vertices are split where charts meet.

    Args:
        mesh: With vertex normals.
        texture_size: Side of the square texture that the charts are laid out for, texels.
        padding: Room between charts, texels.
    """
    assert mesh.normals is not None
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = texture_size, padding, True
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices.float().cpu().numpy(), mesh.faces.cpu().numpy().astype(np.uint32))
    atlas.generate(charts, packing)
    assert atlas.atlas_count == 1
    device = mesh.vertices.device
    source, faces, uvs = (
        torch.from_numpy(part.astype(kind)).to(device) for part, kind in zip(atlas[0], _KINDS, strict=True)
    )
    return Mesh(mesh.vertices[source], faces, normals=mesh.normals[source], uvs=uvs.clamp(0.0, 1.0))


@torch.no_grad()
def bake(mesh: Mesh, color: SurfaceColor, *, texture_size: int) -> Mesh:
    """The mesh with a texture that holds `color` of the surface; texels outside all charts repeat the nearest inside.

    Args:
        mesh: With normals and texture coordinates.
        color: Asked once for every texel that shows a part of the surface.
        texture_size: Side of the square texture, texels.
    """
    assert mesh.normals is not None and mesh.uvs is not None
    device = mesh.vertices.device
    # Which triangle covers a texel is asked of the mesh flattened into the unit square, by rays from above.
    flat = torch.cat([mesh.uvs, torch.zeros_like(mesh.uvs[:, :1])], dim=-1)
    caster = RayCaster(flat, mesh.faces)
    texture = torch.zeros(texture_size**2, 3, device=device)
    is_covered = torch.zeros(texture_size**2, dtype=torch.bool, device=device)
    for texels in torch.arange(texture_size**2, device=device).split(_TEXELS_AT_ONCE):
        hits = caster.cast(_texel_rays(texels, texture_size))
        is_hit = hits.face >= 0
        hits, texels = hits[is_hit], texels[is_hit]
        if len(texels) > 0:
            positions = interpolate(mesh.vertices, mesh.faces, hits.face, hits.barycentric)
            normals = interpolate(mesh.normals, mesh.faces, hits.face, hits.barycentric)
            texture[texels] = color(positions, torch.nn.functional.normalize(normals, dim=-1)).clamp(0.0, 1.0)
            is_covered[texels] = True
    square = (texture_size, texture_size)
    return dataclasses.replace(mesh, texture=_fill(texture.reshape(*square, 3), is_covered.reshape(square)))


def _texel_rays(texels: Tensor, size: int) -> Rays:
    """Rays down onto the centres of texels, numbered row by row from the top."""
    u = (texels % size + 0.5) / size
    v = 1.0 - (texels // size + 0.5) / size
    origins = torch.stack([u, v, torch.ones_like(u)], dim=-1)
    return Rays(origins, origins.new_tensor([0.0, 0.0, -1.0]).expand_as(origins).contiguous())


def _fill(texture: Float[Tensor, "H W 3"], is_covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """The texture with each uncovered texel set to the nearest covered one: no filter shall meet a foreign colour."""
    if not bool(is_covered.any()):
        return texture
    nearest = scipy.ndimage.distance_transform_edt(
        ~is_covered.cpu().numpy(), return_distances=False, return_indices=True
    )
    rows, columns = torch.from_numpy(nearest.astype(np.int64)).to(texture.device)
    return texture[rows, columns]
