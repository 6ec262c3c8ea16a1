"""Images of textured meshes by ray casting: for turntables, for scoring, and to check what was exported.

Light and colours follow `framework.structures.views`: what is shown is base colour times (ambient + diffuse cosine), in
sRGB values as they are, the same arithmetic as in the matte materials. In surroundings, a mesh with further textures shows
them as `framework.materials.physically_based` does.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.export.tangents import from_tangent_space, vertex_tangents
from framework.materials.base import SurfaceProperties
from framework.materials.surroundings import Surroundings
from framework.ops.mesh_raycasting import RayCaster, RayHits
from framework.structures.mesh import Mesh
from framework.structures.rays import Rays
from framework.structures.render_output import RenderOutput
from framework.structures.surface import base_color, interpolate, sample_texture
from framework.structures.views import Lights, Views


class MeshRenderer:
    """Draws one mesh; the ray caster's tree is built once.

    Args:
        mesh: Coloured by its texture, else by its vertex colours, else white. Without normals it is shaded flat.
        surroundings: Light a mesh that has `SurfaceTextures` instead of the views' lights, except where these are plain
            ambient light, under which base colour is shown.
        supersampling: Rays along each side of a pixel.

    Raises:
        ValueError: If the mesh has no faces.
    """

    def __init__(self, mesh: Mesh, *, surroundings: Surroundings | None = None, supersampling: int = 2) -> None:
        self._mesh = mesh
        self._surroundings = surroundings if mesh.surface is not None else None
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
        if self._surroundings is not None and bool(lights.diffuse > 0.0):
            surface = self._properties(hits).bared(lights.is_textureless.to(normals.dtype).expand(len(normals)))
            color = self._surroundings.color(surface, normals, -rays.directions)
        else:
            color = self._matte_color(rays, hits, normals, lights)
        return torch.cat([color, normals, torch.ones_like(color[:, :1]), hits.distance[:, None]], dim=-1)

    def _matte_color(
        self, rays: Rays, hits: RayHits, normals: Float[Tensor, "N 3"], lights: Lights
    ) -> Float[Tensor, "N 3"]:
        positions = torch.addcmul(rays.origins, rays.directions, hits.distance[:, None])
        cosine = (normals * F.normalize(lights.positions - positions, dim=-1)).sum(dim=-1, keepdim=True)
        is_white = bool(lights.is_textureless)
        albedo = torch.ones_like(positions) if is_white else base_color(self._mesh, hits.face, hits.barycentric)
        return (albedo * (lights.ambient + lights.diffuse * cosine.clamp_min(0.0))).clamp(0.0, 1.0)

    def _properties(self, hits: RayHits) -> SurfaceProperties:
        """What the textures say of the points that were hit."""
        mesh, at = self._mesh, (hits.face, hits.barycentric)
        assert mesh.surface is not None and mesh.uvs is not None
        uvs = interpolate(mesh.uvs, mesh.faces, *at)
        _, roughness, metallic = sample_texture(mesh.surface.orm, uvs).unbind(dim=-1)
        offset = None
        if mesh.surface.normal is not None and mesh.normals is not None:
            texel = 2.0 * sample_texture(mesh.surface.normal, uvs) - 1.0
            bent = from_tangent_space(F.normalize(texel, dim=-1), mesh, self._tangents, *at)
            offset = bent - F.normalize(interpolate(mesh.normals, mesh.faces, *at), dim=-1)
        return SurfaceProperties(base_color(mesh, *at), roughness, metallic, offset)

    @functools.cached_property
    def _tangents(self) -> Float[Tensor, "V 4"]:
        return vertex_tangents(self._mesh)


def render_mesh(
    mesh: Mesh,
    views: Views,
    *,
    background: Float[Tensor, "*image 3"] | None = None,
    surroundings: Surroundings | None = None,
    supersampling: int = 2,
) -> RenderOutput:
    """Images of `mesh`; see `MeshRenderer`, which is to be kept where one mesh is drawn many times."""
    renderer = MeshRenderer(mesh, surroundings=surroundings, supersampling=supersampling)
    return renderer.render(views, background=background)
