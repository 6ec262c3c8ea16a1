"""Reading back the GLB files that `framework.export.gltf` writes, into world coordinates.

What is shown and scored is what was delivered, so turntables and scores start from the file.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.export import gltf
from framework.export.png import decode_png
from framework.structures.mesh import Mesh, SurfaceTextures

_COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
_KINDS = {gltf.FLOAT: "<f4", gltf.UNSIGNED_INT: "<u4"}


def load_glb(path: Path) -> Mesh:
    """The mesh in the GLB file at `path`, in world axes.

    Raises:
        UserError: If the file is missing, cut short, or not of the kind that export writes (one mesh with one
            primitive, 32-bit indices, everything inside the file).
    """
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{path}: not a GLB file that this program wrote, or damaged: {reason}. Export the run again."
        ) from error


def _parse(data: bytes) -> Mesh:
    document, binary = _chunks(data)
    primitives = [primitive for mesh in document["meshes"] for primitive in mesh["primitives"]]
    if len(primitives) != 1:
        raise ValueError(f"expected one primitive, found {len(primitives)}")
    attributes = primitives[0]["attributes"]
    vertices = gltf.from_gltf_axes(_accessor(document, binary, attributes["POSITION"]))
    faces = _accessor(document, binary, primitives[0]["indices"]).reshape(-1, 3)
    if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
        raise ValueError(f"its faces name vertices up to {int(faces.max())}, but there are {len(vertices)}")
    normals = gltf.from_gltf_axes(_accessor(document, binary, attributes["NORMAL"]))
    uvs = texture = surface = None
    if "TEXCOORD_0" in attributes:
        u, v = _accessor(document, binary, attributes["TEXCOORD_0"]).unbind(dim=-1)
        uvs = torch.stack([u, 1.0 - v], dim=-1)
    material = document["materials"][primitives[0]["material"]]
    metallic_roughness = material["pbrMetallicRoughness"]
    if "baseColorTexture" in metallic_roughness:
        texture = _image(document, binary, metallic_roughness["baseColorTexture"])
    if "metallicRoughnessTexture" in metallic_roughness:
        normal = _image(document, binary, material["normalTexture"]) if "normalTexture" in material else None
        surface = SurfaceTextures(_image(document, binary, metallic_roughness["metallicRoughnessTexture"]), normal)
    return Mesh(vertices, faces, normals=normals, uvs=uvs, texture=texture, surface=surface)


def _image(document: dict[str, Any], binary: bytes, reference: dict[str, Any]) -> Float[Tensor, "H W 3"]:
    image = document["images"][document["textures"][reference["index"]]["source"]]
    return decode_png(_view(document, binary, image["bufferView"]))


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary part."""
    magic, version, length = struct.unpack_from("<III", data)
    if (magic, version) != (gltf.MAGIC, gltf.VERSION):
        raise ValueError("it does not begin as GLB version 2")
    if length != len(data):
        raise ValueError(f"it should have {length} bytes, but has {len(data)}")
    document_length, kind = struct.unpack_from("<II", data, 12)
    binary_start = 20 + document_length
    _, binary_kind = struct.unpack_from("<II", data, binary_start)
    if (kind, binary_kind) != (gltf.JSON_CHUNK, gltf.BINARY_CHUNK):
        raise ValueError("its parts are not JSON and binary")
    return json.loads(data[20:binary_start]), data[binary_start + 8 :]


def _view(document: dict[str, Any], binary: bytes, index: int) -> bytes:
    view = document["bufferViews"][index]
    start = view.get("byteOffset", 0)
    part = binary[start : start + view["byteLength"]]
    if len(part) != view["byteLength"]:
        raise ValueError(f"its binary part ends before buffer view {index} does")
    return part


def _accessor(document: dict[str, Any], binary: bytes, index: int) -> Tensor:
    """Values of an accessor: (count, columns) float32, or (count,) int64 for indices."""
    accessor = document["accessors"][index]
    kind, columns = _KINDS[accessor["componentType"]], _COLUMNS[accessor["type"]]
    values = np.frombuffer(_view(document, binary, accessor["bufferView"]), kind, accessor["count"] * columns)
    if kind == "<u4":
        return torch.from_numpy(values.astype(np.int64))
    return torch.from_numpy(values.astype(np.float32)).reshape(-1, columns)
