"""Values on the surface of a mesh: interpolated from its vertices, or looked up in its texture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.mesh import Mesh


def interpolate(
    values: Float[Tensor, "V C"], faces: Int[Tensor, "F 3"], face: Int[Tensor, "N"], barycentric: Float[Tensor, "N 3"]
) -> Float[Tensor, "N C"]:
    """Vertex values blended at points of faces."""
    corners = values[faces[face.long()].long()]  # (N, 3, C)
    return torch.einsum("nk,nkc->nc", barycentric, corners)


def sample_texture(texture: Float[Tensor, "H W 3"], uvs: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    """Texture values at coordinates in [0, 1], (0, 0) the lower left; bilinear, clamped to the edge.

    The lower left texel's centre is at (0.5 / W, 0.5 / H), as in OpenGL and glTF.
    """
    grid = uvs * torch.tensor([2.0, -2.0], device=uvs.device) + torch.tensor([-1.0, 1.0], device=uvs.device)
    image = texture.permute(2, 0, 1)[None]
    sampled = F.grid_sample(image, grid[None, None], mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T


def resized(image: Float[Tensor, "H W C"], height: int, width: int) -> Float[Tensor, "h w C"]:
    """The image at another size, filtered; the same one if it has that size."""
    if image.shape[:2] == (height, width):
        return image
    planes = F.interpolate(image.permute(2, 0, 1)[None], (height, width), mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0)


def base_color(mesh: Mesh, face: Int[Tensor, "N"], barycentric: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """What colour a mesh has at points of its faces, in [0, 1], sRGB: of its texture, else its vertices, else white."""
    if mesh.texture is not None and mesh.uvs is not None:
        return sample_texture(mesh.texture, interpolate(mesh.uvs, mesh.faces, face, barycentric))
    if mesh.colors is not None:
        return interpolate(mesh.colors, mesh.faces, face, barycentric)
    return torch.ones_like(barycentric)
