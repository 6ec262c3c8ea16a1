"""What a mesh file says of a surface: base colour, and what glTF adds to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from torch import Tensor

from framework.structures.mesh import SurfaceTextures
from framework.structures.srgb import to_srgb
from framework.structures.surface import resized

_PLAIN_SIZE = 256
"""Side of the texture of a surface of one colour, texels: it may be painted later."""


def base_color(material: Any) -> tuple[Float[Tensor, "H W 3"] | None, Float[Tensor, "3"]]:
    """Image and factor of a material, in [0, 1], sRGB; glTF has factors that are linear in light."""
    is_gltf = isinstance(material, trimesh.visual.material.PBRMaterial)
    factor = torch.ones(3)
    if is_gltf:
        found, color = material.baseColorTexture, material.baseColorFactor
    else:
        found, color = material.image, None if material.image is not None else material.diffuse
    if color is not None:
        factor = torch.from_numpy(np.array(color[:3], dtype=np.float32) / 255.0)
        factor = to_srgb(factor) if is_gltf else factor
    return None if found is None else _pixels(found), factor


def surface_textures(material: Any) -> SurfaceTextures | None:
    """Roughness, metallic and normals of a material of glTF; None of one that is matte, or says nothing of it.

    Both images are of the size of the larger one. A factor that is missing counts as 1 beside one that is not, as the format
    has it.
    """
    if not isinstance(material, trimesh.visual.material.PBRMaterial):
        return None
    image, normal = material.metallicRoughnessTexture, material.normalTexture
    given = [material.roughnessFactor, material.metallicFactor]
    roughness, metallic = (1.0 if factor is None else float(factor) for factor in given)
    if image is None and normal is None and (given == [None, None] or (roughness, metallic) == (1.0, 0.0)):
        return None
    if image is None and given == [None, None]:
        roughness, metallic = 1.0, 0.0
    sizes = [picture.size[::-1] for picture in (image, normal) if picture is not None]
    height, width = max(sizes, default=(_PLAIN_SIZE, _PLAIN_SIZE))
    orm = torch.ones(height, width, 3) if image is None else resized(_pixels(image), height, width)
    orm = torch.cat([torch.ones_like(orm[..., :1]), orm[..., 1:] * torch.tensor([roughness, metallic])], dim=-1)
    return SurfaceTextures(orm, None if normal is None else resized(_pixels(normal), *orm.shape[:2]))


def plain_texture(color: Float[Tensor, "3"]) -> Float[Tensor, "H W 3"]:
    """A texture of one colour."""
    return color.expand(_PLAIN_SIZE, _PLAIN_SIZE, 3).contiguous()


def _pixels(image: Any) -> Float[Tensor, "H W 3"]:
    return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32) / 255.0)
