"""Texture atlas: unwrapping a mesh into it, and filling it with what the surface looks like."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import scipy  # Its parts are loaded when they are used: ndimage takes a third of a second.
import torch
import torch.nn.functional as F
import xatlas
from jaxtyping import Float, Int
from torch import Tensor

from framework.export.tangents import in_tangent_space, vertex_tangents
from framework.ops.chunks import in_chunks
from framework.ops.mesh_raycasting import RayCaster, RayHits
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.rays import Rays
from framework.structures.surface import interpolate, resized

SurfaceColor = Callable[[Float[Tensor, "N 3"], Float[Tensor, "N 3"]], Float[Tensor, "N C"]]
"""What `SurfaceProperties.stacked` returns, at surface positions with unit normals: at least a base colour in [0, 1]."""

_FACES_PER_CHART = 500
"""Charts are kept to so many faces: xatlas looks at a whole chart for each face that it adds, so that its time grows with
their square, from seconds at 20,000 faces to many minutes at 200,000."""
_TEXELS_AT_ONCE = 1 << 16
_NORMAL = 5  # the first of the channels that bend the normal
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
    charts.max_chart_area = float(mesh.face_areas().sum()) * min(1.0, _FACES_PER_CHART / len(mesh.faces))
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
    """The mesh with textures that hold `color` of the surface; texels outside all charts repeat the nearest inside.

    Args:
        mesh: With normals and texture coordinates.
        color: Asked once for every texel that shows a part of the surface.
        texture_size: Side of the square textures, texels.
    """
    assert mesh.normals is not None and mesh.uvs is not None
    device = mesh.vertices.device
    # Which triangle covers a texel is asked of the mesh flattened into the unit square, by rays from above.
    flat = torch.cat([mesh.uvs, torch.zeros_like(mesh.uvs[:, :1])], dim=-1)
    caster = RayCaster(flat, mesh.faces)
    baker = _Baker(mesh, color)

    def covered(part: slice) -> tuple[Tensor, Tensor] | None:
        texels = torch.arange(part.start, part.stop, device=device)
        hits = caster.cast(_texel_rays(texels, texture_size))
        is_hit = hits.face >= 0
        return (texels[is_hit], baker.texels(hits[is_hit])) if bool(is_hit.any()) else None

    parts = [item for item in in_chunks(covered, texture_size**2, size=_TEXELS_AT_ONCE, what="texels") if item]
    if not parts:
        return dataclasses.replace(mesh, texture=torch.zeros(texture_size, texture_size, 3, device=device))
    texels, values = (torch.cat(items) for items in zip(*parts, strict=True))
    return _with_textures(mesh, _filled(texels, values, texture_size))


class _Baker:
    """Values of texels; normals are turned into tangent space."""

    def __init__(self, mesh: Mesh, color: SurfaceColor) -> None:
        self._mesh = mesh
        self._color = color

    @functools.cached_property
    def _tangents(self) -> Float[Tensor, "V 4"]:
        return vertex_tangents(self._mesh)

    def texels(self, hits: RayHits) -> Float[Tensor, "N C"]:
        """Channels in [0, 1] of the points that were hit: base colour, roughness, metallic, and the encoded normal."""
        mesh = self._mesh
        assert mesh.normals is not None
        positions = interpolate(mesh.vertices, mesh.faces, hits.face, hits.barycentric)
        normals = F.normalize(interpolate(mesh.normals, mesh.faces, hits.face, hits.barycentric), dim=-1)
        values = self._color(positions, normals)
        if values.shape[1] > _NORMAL:
            bent = F.normalize(normals + values[:, _NORMAL:], dim=-1)
            local = in_tangent_space(bent, mesh, self._tangents, hits.face, hits.barycentric)
            values = torch.cat([values[:, :_NORMAL], 0.5 + 0.5 * local], dim=-1)
        return values.clamp(0.0, 1.0)


def _with_textures(mesh: Mesh, image: Float[Tensor, "H W C"]) -> Mesh:
    surface = mesh.surface  # what the mesh brings stays where the material says nothing of it
    if image.shape[-1] > 3:
        orm = torch.cat([torch.ones_like(image[..., :1]), image[..., 3:_NORMAL]], dim=-1)
        normal = image[..., _NORMAL:] if image.shape[-1] > _NORMAL else _normal_of_file(surface, *orm.shape[:2])
        surface = SurfaceTextures(orm, normal)
    return dataclasses.replace(mesh, texture=image[..., :3].contiguous(), surface=surface)


def _normal_of_file(surface: SurfaceTextures | None, height: int, width: int) -> Float[Tensor, "H W 3"] | None:
    return None if surface is None or surface.normal is None else resized(surface.normal, height, width)


def _texel_rays(texels: Tensor, size: int) -> Rays:
    """Rays down onto the centres of texels, numbered row by row from the top."""
    u = (texels % size + 0.5) / size
    v = 1.0 - (texels // size + 0.5) / size
    origins = torch.stack([u, v, torch.ones_like(u)], dim=-1)
    return Rays(origins, origins.new_tensor([0.0, 0.0, -1.0]).expand_as(origins).contiguous())


def _filled(texels: Int[Tensor, "N"], values: Float[Tensor, "N C"], size: int) -> Float[Tensor, "H W C"]:
    """The image of `values`, each other texel set to the nearest of them: no filter shall meet a foreign colour."""
    is_empty = np.ones(size**2, dtype=bool)
    is_empty[texels.cpu().numpy()] = False
    nearest = scipy.ndimage.distance_transform_edt(
        is_empty.reshape(size, size), return_distances=False, return_indices=True
    )
    rows, columns = torch.from_numpy(nearest.astype(np.int64)).to(values.device)
    image = values.new_zeros(size**2, values.shape[1]).index_copy(0, texels, values)
    return image.reshape(size, size, -1)[rows, columns]
