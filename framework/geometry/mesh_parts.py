"""Several parts of a mesh file as one mesh with one set of textures.

The textures of all materials are laid beside each other in one picture, and texture coordinates follow. A part without
coordinates, or whose texture repeats beyond its picture, has no place in it: then the colours of all parts are read out at
their vertices, and a warning says so.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.surface import resized, sample_texture

_log = logging.getLogger(__name__)

_MARGIN = 4  # texels around each picture that repeat its border, so that filtering mixes no two of them
_LARGEST = 8192  # texels across the whole; larger pictures shrink to fit
_BEYOND = 1e-3


@dataclass(frozen=True)
class Part:
    """One part of a file.

    Attributes:
        mesh: With texture coordinates and a texture, or with vertex colours, or with neither.
        material: Parts of equal number share their pictures.
    """

    mesh: Mesh
    material: int


def joined(parts: Sequence[Part], name: str) -> Mesh:
    """One mesh of all parts; `name` is that of the file, for warnings."""
    if len(parts) == 1:
        return parts[0].mesh
    starts = torch.tensor([0, *(len(part.mesh.vertices) for part in parts)]).cumsum(0)
    whole = Mesh(
        torch.cat([part.mesh.vertices for part in parts]),
        torch.cat([part.mesh.faces + start for part, start in zip(parts, starts[:-1], strict=True)]),
    )
    obstacle = _obstacle(parts)
    if obstacle is None:
        return _with_atlas(whole, parts)
    if any(part.mesh.texture is not None for part in parts):
        _log.warning(
            "%s: of its %d parts %s. Its texture coordinates are not kept: the colours of all parts are read out at "
            "their vertices.",
            name,
            len(parts),
            obstacle,
        )
    return dataclasses.replace(whole, colors=torch.cat([_vertex_colors(part.mesh) for part in parts]))


def _obstacle(parts: Sequence[Part]) -> str | None:
    """Why the parts have no places in one picture."""
    bare = sum(part.mesh.uvs is None or part.mesh.texture is None for part in parts)
    if bare > 0:
        return f"{bare} have no texture"
    uvs = [part.mesh.uvs for part in parts if part.mesh.uvs is not None]
    repeating = sum(bool(((uv < -_BEYOND) | (uv > 1.0 + _BEYOND)).any()) for uv in uvs)
    return f"{repeating} have a texture that repeats" if repeating > 0 else None


def _with_atlas(whole: Mesh, parts: Sequence[Part]) -> Mesh:
    pictures = {part.material: part.mesh for part in parts}
    places, (height, width) = _laid_out({key: _size(mesh) for key, mesh in pictures.items()})
    surfaces = [mesh.surface for mesh in pictures.values() if mesh.surface is not None]
    has_normals = any(surface.normal is not None for surface in surfaces)
    texture, orm, normal = (torch.zeros(height, width, 3) for _ in range(3))
    for key, (top, left, rows, columns) in places.items():
        where = slice(top, top + rows + 2 * _MARGIN), slice(left, left + columns + 2 * _MARGIN)
        base, surface = _texture(pictures[key]), pictures[key].surface
        texture[where] = _framed(base, rows, columns)
        orm[where] = _framed(_plain(1.0, 1.0, 0.0) if surface is None else surface.orm, rows, columns)
        flat = _plain(0.5, 0.5, 1.0)
        normal[where] = _framed(flat if surface is None or surface.normal is None else surface.normal, rows, columns)
    return dataclasses.replace(
        whole,
        uvs=torch.cat([_moved(part.mesh, places[part.material], height, width) for part in parts]),
        texture=texture,
        surface=SurfaceTextures(orm, normal if has_normals else None) if surfaces else None,
    )


def _laid_out(
    sizes: dict[int, tuple[int, int]],
) -> tuple[dict[int, tuple[int, int, int, int]], tuple[int, int]]:
    """Rows of pictures, the highest first: upper edge, left edge, height and width of each, and the size of the whole."""
    area = sum((height + 2 * _MARGIN) * (width + 2 * _MARGIN) for height, width in sizes.values())
    room = max(math.ceil(math.sqrt(area)), *(width + 2 * _MARGIN for _, width in sizes.values()))
    places, top, left, highest, widest = {}, 0, 0, 0, 0
    for key, (height, width) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        if left + width + 2 * _MARGIN > room:
            top, left, highest = top + highest, 0, 0
        places[key] = (top, left, height, width)
        left, highest = left + width + 2 * _MARGIN, max(highest, height + 2 * _MARGIN)
        widest = max(widest, left)
    whole = top + highest, widest
    if max(whole) > _LARGEST and max(max(size) for size in sizes.values()) > 1:
        return _laid_out({key: (max(1, height // 2), max(1, width // 2)) for key, (height, width) in sizes.items()})
    return places, whole


def _moved(mesh: Mesh, place: tuple[int, int, int, int], height: int, width: int) -> Float[Tensor, "V 2"]:
    """Texture coordinates within the whole picture."""
    assert mesh.uvs is not None
    top, left, rows, columns = place
    u, v = mesh.uvs.clamp(0.0, 1.0).unbind(dim=1)
    across = (left + _MARGIN + u * columns) / width
    down = (top + _MARGIN + (1.0 - v) * rows) / height
    return torch.stack([across, 1.0 - down], dim=1)


def _framed(image: Float[Tensor, "H W 3"], rows: int, columns: int) -> Float[Tensor, "framed_h framed_w 3"]:
    """The image at that size, its border repeated around it."""
    planes = resized(image, rows, columns).permute(2, 0, 1)[None]
    return F.pad(planes, (_MARGIN,) * 4, mode="replicate")[0].permute(1, 2, 0)


def _plain(*color: float) -> Float[Tensor, "1 1 3"]:
    return torch.tensor(color).view(1, 1, 3)


def _texture(mesh: Mesh) -> Float[Tensor, "H W 3"]:
    assert mesh.texture is not None
    return mesh.texture


def _size(mesh: Mesh) -> tuple[int, int]:
    height, width = _texture(mesh).shape[:2]
    return height, width


def _vertex_colors(mesh: Mesh) -> Float[Tensor, "V 3"]:
    if mesh.texture is not None and mesh.uvs is not None:
        return sample_texture(mesh.texture, mesh.uvs)
    return torch.ones_like(mesh.vertices) if mesh.colors is None else mesh.colors
