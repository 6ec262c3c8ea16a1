"""Rasterization of explicit surfaces: one surface point for each pixel, and antialiased outlines.

A pixel's point moves with the surface along the pixel's ray, so that the features found there pull at the vertices; the
outlines pull at them through antialiasing. Colour, opacity, depth and normal are antialiased alike: what an outline shares
between two pixels is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.registries import RENDERERS
from framework.core.step import StepInfo
from framework.geometry.base import SurfaceGeometry
from framework.geometry.normals import unit
from framework.ops.antialiasing import antialias
from framework.ops.backends import AUTO
from framework.ops.chunks import in_chunks
from framework.ops.rasterization import Fragments, interpolate, rasterize
from framework.renderers.base import Renderer, Scene
from framework.renderers.shading import shading_points
from framework.structures.field import Attribute, FieldQuery, ShadingPoints
from framework.structures.mesh import Mesh
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

_FEATURES = frozenset({Attribute.FEATURES})


@RENDERERS.register("rasterizer")
class Rasterizer(Renderer):
    """Rasterization of explicit surfaces with antialiased, differentiable outlines."""

    provides = frozenset(Buffer) - {Buffer.SAMPLES}
    draws = SurfaceGeometry
    asks = _FEATURES

    @dataclass(kw_only=True, frozen=True)
    class Config(Renderer.Config):
        normals: Literal["smooth", "flat"] = "smooth"
        """Normals blended between the vertices, or one for each face."""
        evaluation_views: int = 4
        """Views drawn at once in evaluation, which bounds its memory."""

        def __post_init__(self) -> None:
            if self.evaluation_views < 1:
                raise ValueError(f"evaluation_views must be positive, got {self.evaluation_views}.")

    config: Config

    def render(self, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo) -> RenderOutput:
        """Images of `views`; normals and the mesh only if in `needs`.

        A surface without faces shows the background, but not in training, where it would never come back.

        Raises:
            BrokenSurface: If training has destroyed the surface.
        """
        assert isinstance(scene.geometry, SurfaceGeometry)
        mesh = scene.geometry.surface(step)
        if step.is_training or len(mesh.faces) > 0:
            scene.geometry.check_surface(mesh)
        size = views.cameras.height, views.cameras.width
        directions = views.cameras.rays().directions.view(len(views), -1, 3)
        background = scene.background.color(directions, step).view(len(views), *size, 3)
        if step.is_training:
            parts = [self._draw(mesh, views, background, scene, needs, step)]
        else:
            parts = in_chunks(
                lambda part: self._draw(mesh, views[part], background[part], scene, needs, step),
                len(views),
                size=self.config.evaluation_views,
                what="views",
            )
        widths = [3, 1, 1, 3 if Buffer.NORMAL in needs else 0]
        image = torch.cat(parts)
        color, opacity, depth, normal, latent = image.split([*widths, image.shape[-1] - sum(widths)], dim=-1)
        return RenderOutput(
            rgb=color,
            opacity=opacity,
            depth=depth,
            renderer="rasterizer",
            # Between two surfaces, too, a normal is as long as its pixel is opaque.
            normal=_unit(normal) * opacity if Buffer.NORMAL in needs else None,
            mesh=mesh if Buffer.MESH in needs else None,
            latent=latent if _has_latents(scene, needs) else None,
        )

    def _draw(
        self,
        mesh: Mesh,
        views: Views,
        background: Float[Tensor, "B H W 3"],
        scene: Scene,
        needs: AbstractSet[Buffer],
        step: StepInfo,
    ) -> Float[Tensor, "B H W C"]:
        """Colour, opacity, depth and, if needed, normal and latents."""
        behind = [scene.material.latents_of_color(background)] if _has_latents(scene, needs) else []
        if len(mesh.faces) == 0:
            return torch.cat([F.pad(background, (0, 5 if Buffer.NORMAL in needs else 2)), *behind], dim=-1)
        backend = self.backends.get("rasterization", AUTO)
        fragments = rasterize(mesh.vertices, mesh.faces, views.cameras, backend=backend)
        (pixel,) = fragments.is_covered.flatten().nonzero(as_tuple=True)
        has_normals = Buffer.NORMAL in needs or Attribute.NORMALS in scene.material.needs_under(views.lights)
        normals = self._normals(mesh, fragments, pixel) if has_normals else None
        points, features = self._seen(fragments, pixel, normals, views, scene, step)
        channels = [
            _painted(background, pixel, scene.material.shade(points, features, step)),
            fragments.is_covered[..., None].to(background.dtype),
            fragments.depth[..., None],
        ]
        if normals is not None and Buffer.NORMAL in needs:
            channels.append(_painted(torch.zeros_like(background), pixel, normals))
        channels += [_painted(image, pixel, scene.material.latents(features)) for image in behind]
        return antialias(torch.cat(channels, dim=-1), fragments, mesh.vertices, mesh.faces, views.cameras)

    def _seen(
        self,
        fragments: Fragments,
        pixel: Int[Tensor, "N"],
        normals: Float[Tensor, "N 3"] | None,
        views: Views,
        scene: Scene,
        step: StepInfo,
    ) -> tuple[ShadingPoints, Float[Tensor, "N F"]]:
        """The points seen in the pixels with these numbers, and their features."""
        rays = views.cameras.rays()[pixel]
        distance = fragments.depth.view(-1, 1).index_select(0, pixel)
        positions = torch.addcmul(rays.origins, rays.directions, distance)
        features = scene.geometry.query(FieldQuery(positions, step, _FEATURES)).features
        assert features is not None
        view = pixel // (views.cameras.height * views.cameras.width)
        return shading_points(positions, rays.directions, normals, views.lights, view), features

    def _normals(self, mesh: Mesh, fragments: Fragments, pixel: Int[Tensor, "N"]) -> Float[Tensor, "N 3"]:
        if self.config.normals == "flat":
            return mesh.face_normals().index_select(0, fragments.face.flatten()[pixel])
        vertex_normals = mesh.vertex_normals() if mesh.normals is None else mesh.normals
        backend = self.backends.get("rasterization", AUTO)
        blended = interpolate(vertex_normals, mesh.faces, fragments, backend=backend)
        return F.normalize(blended.view(-1, 3).index_select(0, pixel), dim=-1)


def _has_latents(scene: Scene, needs: AbstractSet[Buffer]) -> bool:
    return Buffer.LATENT in needs and scene.material.has_latents


def _painted(
    image: Float[Tensor, "B H W C"], pixel: Int[Tensor, "N"], values: Float[Tensor, "N C"]
) -> Float[Tensor, "B H W C"]:
    """The image with these values in the pixels with these numbers."""
    return image.reshape(-1, image.shape[-1]).index_copy(0, pixel, values.to(image.dtype)).view_as(image)


def _unit(image: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B H W 3"]:
    return unit(image.reshape(-1, 3)).view(image.shape)
