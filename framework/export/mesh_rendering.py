"""Images of textured meshes by ray casting: for turntables, for scoring, and to check what was exported.

Light and colours follow `framework.structures.views`: what is shown is base colour times (ambient + diffuse cosine), in
sRGB values as they are, the same arithmetic as in the materials.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.ops.mesh_raycasting import RayCaster, RayHits
from framework.structures.mesh import Mesh
from framework.structures.rays import Rays
from framework.structures.render_output import RenderOutput
from framework.structures.surface import base_color, interpolate
from framework.structures.views import Lights, Views


class MeshRenderer:
    """Draws one mesh; the ray caster's tree is built once.

    Args:
        mesh: Coloured by its texture, else by its vertex colours, else white. Without normals it is shaded flat.
        supersampling: Rays along each side of a pixel.

    Raises:
        ValueError: If the mesh has no faces.
    """

    def __init__(self, mesh: Mesh, *, supersampling: int = 2) -> None:
        self._mesh = mesh
        self._supersampling = supersampling
        self._caster = RayCaster(mesh.vertices, mesh.faces)
        self._face_normals = mesh.face_normals()

    @torch.no_grad()
    def render(self, views: Views, *, background: Float[Tensor, "*image 3"] | None = None) -> RenderOutput:
        """Images of `views`, view by view.

        Args:
            views: Cameras and lights.
            background: One colour (3,), or images (B, H, W, 3); white by default.
        """
        size = views.cameras.height, views.cameras.width
        if background is None:
            background = views.cameras.fov_y.new_ones(3)
        parts = [self._render_one(views[i]) for i in range(len(views))]
        buffers = torch.stack(parts)  # (B, H, W, 8)
        color, normal, opacity, depth = buffers.split([3, 3, 1, 1], dim=-1)
        rgb = color + (1.0 - opacity) * background.expand(len(views), *size, 3)
        return RenderOutput(rgb=rgb, opacity=opacity, depth=depth, renderer="mesh", normal=normal)

    def _render_one(self, view: Views) -> Float[Tensor, "H W 8"]:
        """Colour, normal, opacity and distance of one view, each weighted by coverage."""
        height, width, scale = view.cameras.height, view.cameras.width, self._supersampling
        rays = dataclasses.replace(view.cameras, height=height * scale, width=width * scale).rays()
        hits = self._caster.cast(rays)
        index = (hits.face >= 0).nonzero()[:, 0]
        image = torch.zeros(height * width, 8, device=rays.device)
        if len(index) > 0:
            row, column = index // (width * scale), index % (width * scale)
            pixel = row // scale * width + column // scale
            image.index_add_(0, pixel, self._surface_values(rays[index], hits[index], view.lights))
        return image.reshape(height, width, 8) / scale**2

    def _surface_values(self, rays: Rays, hits: RayHits, lights: Lights) -> Float[Tensor, "N 8"]:
        mesh = self._mesh
        if mesh.normals is None:
            normals = self._face_normals[hits.face.long()]
        else:
            normals = F.normalize(interpolate(mesh.normals, mesh.faces, hits.face, hits.barycentric), dim=-1)
        positions = torch.addcmul(rays.origins, rays.directions, hits.distance[:, None])
        cosine = (normals * F.normalize(lights.positions - positions, dim=-1)).sum(dim=-1, keepdim=True)
        albedo = (
            torch.ones_like(positions) if bool(lights.is_textureless) else base_color(mesh, hits.face, hits.barycentric)
        )
        color = (albedo * (lights.ambient + lights.diffuse * cosine.clamp_min(0.0))).clamp(0.0, 1.0)
        return torch.cat([color, normals, torch.ones_like(cosine), hits.distance[:, None]], dim=-1)


def render_mesh(
    mesh: Mesh, views: Views, *, background: Float[Tensor, "*image 3"] | None = None, supersampling: int = 2
) -> RenderOutput:
    """Images of `mesh`; see `MeshRenderer`, which is to be kept where one mesh is drawn many times."""
    return MeshRenderer(mesh, supersampling=supersampling).render(views, background=background)
