"""Triangle meshes with optional textures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SurfaceTextures:
    """What a physically based surface has beside its base colour, at the same texture coordinates; linear values.

    Attributes:
        orm: Occlusion, roughness and metallic in [0, 1], as the channels of one image (glTF 2.0).
        normal: Unit normals (n + 1) / 2 in the tangent space of `framework.export.tangents`, or None.
    """

    orm: Float[Tensor, "H W 3"]
    normal: Float[Tensor, "H W 3"] | None = None


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in world space, counter-clockwise seen from outside.

    Attributes:
        vertices: Positions, world units.
        faces: Vertex indices.
        normals: Unit vertex normals, or None.
        uvs: Per-vertex texture coordinates in [0, 1], (0, 0) the lower left of the image; vertices are split at seams.
        texture: Base colour in [0, 1], sRGB, row 0 the top; None without.
        colors: Per-vertex base colour in [0, 1], sRGB, or None.
        surface: Further textures, or None where the surface is matte.
        crossings: Of a surface taken from a grid of signed distances, the distances at both ends of each grid edge that
            it crosses, world units; None elsewhere.
        deviation: Of a FlexiCubes surface, how unevenly each dual vertex lies among its crossings, world units; the
            mean is L_dev (arXiv:2308.05371). None elsewhere.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    normals: Float[Tensor, "V 3"] | None = None
    uvs: Float[Tensor, "V 2"] | None = None
    texture: Float[Tensor, "H W 3"] | None = None
    colors: Float[Tensor, "V 3"] | None = None
    crossings: Float[Tensor, "E 2"] | None = None
    deviation: Float[Tensor, "L"] | None = None
    surface: SurfaceTextures | None = None

    def face_normals(self) -> Float[Tensor, "F 3"]:
        """Unit normals of the faces; zero for degenerate ones."""
        return F.normalize(self._doubled_area_vectors(), dim=-1)

    def face_areas(self) -> Float[Tensor, "F"]:
        """Areas of the faces, in square world units."""
        return 0.5 * self._doubled_area_vectors().norm(dim=-1)

    def vertex_normals(self) -> Float[Tensor, "V 3"]:
        """Unit vertex normals, faces weighted by their area."""
        weighted = self._doubled_area_vectors()
        total = torch.zeros_like(self.vertices)
        for corner in range(3):
            total.index_add_(0, self.faces[:, corner].long(), weighted)
        return F.normalize(total, dim=-1)

    def _doubled_area_vectors(self) -> Float[Tensor, "F 3"]:
        """Along the normals, twice as long as the faces are large."""
        a, b, c = self.vertices[self.faces.long()].unbind(dim=1)
        return torch.linalg.cross(b - a, c - a)
