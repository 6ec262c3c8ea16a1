"""Meshes from OBJ, glTF, PLY and other files that trimesh reads, checked, in world axes and of a known size.

Vertices are returned as the file has them, split where texture coordinates jump; `welded` joins them again for whoever
moves them. Files are not repaired: what makes a mesh unusable is an error, what makes it doubtful is a warning.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.geometry.file_material import base_color, plain_texture, surface_textures
from framework.geometry.mesh_parts import Part, joined
from framework.structures.mesh import Mesh

_log = logging.getLogger(__name__)

_Y_UP = {".glb", ".gltf", ".obj"}
_MOST_FACES = 4_000_000


def load_mesh(path: str | Path, *, up: Literal["auto", "y", "z"] = "auto", size: float | None = None) -> Mesh:
    """The mesh in a file, in world axes (z up), with its texture or its vertex colours.

    The parts of a file are joined, their textures laid beside each other in one (`mesh_parts`). Of a material base colour,
    roughness, metallic and normals are kept. Vertex colours count as sRGB, as most programs write them, although glTF says
    that they are linear.

    Args:
        path: A file of a kind that trimesh reads.
        up: Which axis of the file points up; `auto` takes y for glTF and OBJ and z for all others. With y up, file
            axes (x, y, z) become world axes (z, x, y), as `framework.export` writes them.
        size: The mesh is centred at the origin, and the longest side of its bounding box becomes this long; None
            leaves position and size as they are.

    Raises:
        UserError: If the file is missing, unreadable, holds no triangles, more than 4 million of them, positions that
            are not finite, or has no extent to scale.
    """
    path = Path(path)
    geometries = _geometries(path)
    parts = [_part(geometry) for geometry in geometries]
    _check(path, parts)
    materials = [id(getattr(geometry.visual, "material", geometry)) for geometry in geometries]
    mesh = joined([Part(part, material) for part, material in zip(parts, materials, strict=True)], str(path))
    if up == "y" or (up == "auto" and path.suffix.lower() in _Y_UP):
        mesh = dataclasses.replace(mesh, vertices=mesh.vertices[:, [2, 0, 1]])
    return mesh if size is None else _scaled(mesh, size, path)


def welded(mesh: Mesh) -> Mesh:
    """Positions and faces alone, vertices at equal positions joined and faces that lose a corner by it dropped."""
    vertices, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    faces = index[mesh.faces.long()]
    return Mesh(vertices, faces[_has_three_corners(faces)])


def welded_faces(mesh: Mesh) -> Bool[Tensor, "F"]:
    """Which faces of a mesh are left when it is welded."""
    _, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    return _has_three_corners(index[mesh.faces.long()])


def warn_of_irregular_edges(mesh: Mesh, path: str | Path) -> None:
    """Log how many edges of a welded mesh have not exactly two faces, if any."""
    counts = edge_face_counts(mesh.faces)
    num_open, num_crowded = int((counts == 1).sum()), int((counts > 2).sum())
    if num_open + num_crowded > 0:
        _log.warning(
            "%s: not a closed manifold: %d edges have one face, %d have more than two. Smoothness losses and what is "
            "inside are doubtful there.",
            path,
            num_open,
            num_crowded,
        )


def edge_face_counts(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "E"]:
    """How many faces each edge has, in no particular order; 2 everywhere on a closed manifold."""
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).long().sort(dim=1).values
    return torch.unique(edges, dim=0, return_counts=True)[1]


def signed_volume(mesh: Mesh) -> float:
    """Volume enclosed by a closed mesh, negative if its faces are turned inwards, in cubic world units."""
    a, b, c = mesh.vertices.detach().double()[mesh.faces.long()].unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6.0)


def _has_three_corners(faces: Int[Tensor, "F 3"]) -> Bool[Tensor, "F"]:
    return (faces != faces.roll(1, dims=1)).all(dim=1)


def _geometries(path: Path) -> list[Any]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such mesh file.")
    if path.suffix.lower().lstrip(".") not in trimesh.available_formats():
        raise UserError(f"{path}: '{path.suffix}' is no kind of mesh file that can be read. Use GLB, OBJ or PLY.")
    try:
        scene = trimesh.load_scene(path, process=False)
        return [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces) > 0]
    except Exception as error:  # readers of foreign formats raise whatever their parsers run into
        raise UserError(f"{path}: cannot be read as a mesh ({type(error).__name__}: {error}).") from error


def _check(path: Path, parts: list[Mesh]) -> None:
    num_faces = sum(len(part.faces) for part in parts)
    if num_faces == 0:
        raise UserError(f"{path}: holds no triangles. Points, curves and empty files have no surface.")
    if num_faces > _MOST_FACES:
        raise UserError(f"{path}: has {num_faces:,} faces, more than {_MOST_FACES:,}. Simplify it first.")
    vertices = torch.cat([part.vertices for part in parts])
    num_bad = int((~vertices.isfinite()).any(dim=1).sum())
    if num_bad > 0:
        raise UserError(f"{path}: the positions of {num_bad} of {len(vertices)} vertices are not finite numbers.")
    if any(int(part.faces.min()) < 0 or int(part.faces.max()) >= len(part.vertices) for part in parts):
        raise UserError(f"{path}: its faces name vertices that it does not have.")


def _part(geometry: Any) -> Mesh:
    vertices = torch.from_numpy(np.array(geometry.vertices, dtype=np.float32))
    faces = torch.from_numpy(np.array(geometry.faces, dtype=np.int64))
    visual = geometry.visual
    if visual.kind in ("vertex", "face"):
        colors = np.array(visual.vertex_colors, dtype=np.float32)[:, :3] / 255.0
        return Mesh(vertices, faces, colors=torch.from_numpy(colors))
    if visual.kind != "texture":
        return Mesh(vertices, faces)
    image, factor = base_color(visual.material)
    if visual.uv is None or len(visual.uv) != len(vertices):
        return Mesh(vertices, faces, colors=factor.expand(len(vertices), 3).contiguous())
    uvs = torch.from_numpy(np.array(visual.uv, dtype=np.float32))
    texture = plain_texture(factor) if image is None else image * factor
    return Mesh(vertices, faces, uvs=uvs, texture=texture, surface=surface_textures(visual.material))


def _scaled(mesh: Mesh, size: float, path: Path) -> Mesh:
    used = mesh.vertices[mesh.faces.unique()]
    low, high = used.amin(dim=0), used.amax(dim=0)
    longest = float((high - low).max())
    if not 0.0 < longest < float("inf"):
        raise UserError(f"{path}: its bounding box is {longest:g} long, so it cannot be scaled to {size:g}.")
    return dataclasses.replace(mesh, vertices=(mesh.vertices - 0.5 * (low + high)) * (size / longest))
