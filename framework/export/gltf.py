"""Writing meshes as binary glTF 2.0 (GLB): one mesh, one material, its textures inside the file.

A mesh without `SurfaceTextures` becomes matte. With them the file has the whole metallic-roughness material, occlusion
sharing an image with the other two, and, with a normal texture, the tangents that it refers to.

glTF is y-up and looks along +z at the front, our world is z-up with the front at +x, so (x, y, z) is written as
(y, z, x). Its texture coordinates start at the upper left of the image, ours at the lower left.
Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.files import replacing
from framework.export.png import encode_png
from framework.export.tangents import vertex_tangents
from framework.structures.mesh import Mesh

MAGIC, VERSION = 0x46546C67, 2
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
FLOAT, UNSIGNED_INT = 5126, 5125
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR = 9729, 9987
CLAMP_TO_EDGE = 33071


def to_gltf_axes(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """World vectors (x, y, z) as glTF has them, (y, z, x)."""
    return vectors[:, [1, 2, 0]]


def from_gltf_axes(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """World vectors of those in a glTF file."""
    return vectors[:, [2, 0, 1]]


def write_glb(mesh: Mesh, path: Path) -> None:
    """Write `mesh` to `path`, all or nothing.

    Args:
        mesh: With faces and unit normals; its texture, if any, becomes the base colour. Further textures need that one.

    Raises:
        ValueError: If the mesh has no faces or no normals.
    """
    if mesh.normals is None or len(mesh.faces) == 0:
        raise ValueError(f"{path.name}: a mesh without faces or without normals cannot be written.")
    data = glb_bytes(mesh, name=path.stem)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def glb_bytes(mesh: Mesh, *, name: str = "model") -> bytes:
    """The GLB file of `mesh`."""
    assert mesh.normals is not None
    buffer = _Buffer()
    attributes = {
        "POSITION": buffer.add_accessor(to_gltf_axes(mesh.vertices), "VEC3", has_bounds=True),
        "NORMAL": buffer.add_accessor(to_gltf_axes(mesh.normals), "VEC3"),
    }
    if mesh.uvs is not None:
        attributes["TEXCOORD_0"] = buffer.add_accessor(_from_top(mesh.uvs), "VEC2")
        if mesh.surface is not None and mesh.surface.normal is not None:
            attributes["TANGENT"] = buffer.add_accessor(_tangents(mesh), "VEC4")
    indices = buffer.add_accessor(mesh.faces.reshape(-1), "SCALAR")
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "Distill3D"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [_material(mesh, name)],
    }
    images = _images(mesh)
    if images:
        views = [buffer.add_view(encode_png(image)) for image in images.values()]
        document["textures"] = [{"source": index, "sampler": 0} for index in range(len(images))]
        document["images"] = [
            {"name": f"{name}-{use}", "mimeType": "image/png", "bufferView": view}
            for use, view in zip(images, views, strict=True)
        ]
        filters = {"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR}
        document["samplers"] = [{**filters, "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}]
    document["accessors"], document["bufferViews"] = buffer.accessors, buffer.views
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    return _container(json.dumps(document, separators=(",", ":")).encode(), bytes(buffer.data))


def _images(mesh: Mesh) -> dict[str, Float[Tensor, "H W 3"]]:
    """The textures of a mesh by their use, in the order of their indices in the file."""
    if mesh.texture is None or mesh.uvs is None:
        return {}
    images = {"base-color": mesh.texture}
    if mesh.surface is not None:
        images["orm"] = mesh.surface.orm
        if mesh.surface.normal is not None:
            images["normal"] = mesh.surface.normal
    return images


def _material(mesh: Mesh, name: str) -> dict[str, Any]:
    references = {use: {"index": index} for index, use in enumerate(_images(mesh))}
    # Factors scale what is in a texture.
    surface: dict[str, Any] = {"metallicFactor": float("orm" in references), "roughnessFactor": 1.0}
    if "base-color" in references:
        surface["baseColorTexture"] = references["base-color"]
    material = {"name": name, "pbrMetallicRoughness": surface, "doubleSided": False}
    if "orm" in references:
        surface["metallicRoughnessTexture"] = material["occlusionTexture"] = references["orm"]
    if "normal" in references:
        material["normalTexture"] = references["normal"]
    return material


def _tangents(mesh: Mesh) -> Float[Tensor, "V 4"]:
    tangents = vertex_tangents(mesh)
    return torch.cat([to_gltf_axes(tangents[:, :3]), tangents[:, 3:]], dim=1)


@dataclass
class _Buffer:
    """The binary part of a GLB with its views and accessors; every view starts at a multiple of four bytes."""

    data: bytearray = field(default_factory=bytearray)
    views: list[dict[str, int]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def add_view(self, data: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.views.append(view if target is None else {**view, "target": target})
        self.data += _padded(data, b"\0")
        return len(self.views) - 1

    def add_accessor(self, values: Tensor, kind: str, *, has_bounds: bool = False) -> int:
        """Index of a new accessor: vertex attributes as float32, a SCALAR as vertex indices."""
        is_index = kind == "SCALAR"
        array = values.detach().cpu().numpy().astype("<u4" if is_index else "<f4")
        view = self.add_view(array.tobytes(), INDEX_BUFFER if is_index else VERTEX_BUFFER)
        accessor: dict[str, Any] = {
            "bufferView": view,
            "componentType": UNSIGNED_INT if is_index else FLOAT,
            "count": len(array),
            "type": kind,
        }
        if has_bounds:
            accessor["min"], accessor["max"] = array.min(axis=0).tolist(), array.max(axis=0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _from_top(uvs: Float[Tensor, "V 2"]) -> Float[Tensor, "V 2"]:
    return torch.stack([uvs[:, 0], 1.0 - uvs[:, 1]], dim=-1)


def _container(document: bytes, binary: bytes) -> bytes:
    document, binary = _padded(document, b" "), _padded(binary, b"\0")
    length = 12 + 8 + len(document) + 8 + len(binary)
    header = struct.pack("<III", MAGIC, VERSION, length)
    chunks = ((JSON_CHUNK, document), (BINARY_CHUNK, binary))
    return header + b"".join(struct.pack("<II", len(data), kind) + data for kind, data in chunks)


def _padded(data: bytes, filler: bytes) -> bytes:
    return data + filler * (-len(data) % 4)
