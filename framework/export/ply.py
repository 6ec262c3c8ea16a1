"""Writing meshes as binary PLY with coloured vertices, in world axes (z up): for tools that know no textures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from framework.core.files import replacing
from framework.structures.mesh import Mesh
from framework.structures.surface import sample_texture

_HEADER = """ply
format binary_little_endian 1.0
element vertex {vertices}
property float x
property float y
property float z
property float nx
property float ny
property float nz
property uchar red
property uchar green
property uchar blue
element face {faces}
property list uchar int vertex_indices
end_header
"""
_VERTEX = [("position", "<f4", 3), ("normal", "<f4", 3), ("color", "u1", 3)]
_FACE = [("count", "u1"), ("corners", "<i4", 3)]


def write_ply(mesh: Mesh, path: Path) -> None:
    """Write `mesh` to `path`, all or nothing; vertices that a texture atlas split are joined again.

    Args:
        mesh: With normals; coloured by its texture, else by its vertex colours, else white.
    """
    assert mesh.normals is not None
    if mesh.texture is not None and mesh.uvs is not None:
        colors = sample_texture(mesh.texture, mesh.uvs)
    else:
        colors = torch.ones_like(mesh.vertices) if mesh.colors is None else mesh.colors
    # Vertices at a seam differ in texture coordinates alone.
    both = torch.cat([mesh.vertices, mesh.normals], dim=1).cpu().numpy()
    unique, first, index = np.unique(both, axis=0, return_index=True, return_inverse=True)
    vertices = np.empty(len(unique), _VERTEX)
    vertices["position"], vertices["normal"] = unique[:, :3], unique[:, 3:]
    vertices["color"] = (colors.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()[first]
    faces = np.empty(len(mesh.faces), _FACE)
    faces["count"], faces["corners"] = 3, index.reshape(-1)[mesh.faces.cpu().numpy()]
    header = _HEADER.format(vertices=len(vertices), faces=len(faces)).encode()
    with replacing(path) as temporary:
        temporary.write_bytes(header + vertices.tobytes() + faces.tobytes())
