"""The surface of a scene as it is now, coarse and coloured at its vertices, for the browser to turn by itself."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.step import StepInfo
from framework.export.isosurface import extract_surface, sample_density, sample_inside
from framework.export.threshold import choose_threshold, silhouette_views
from framework.geometry.base import SurfaceGeometry
from framework.renderers.base import Renderer, Scene
from framework.structures.field import Attribute, FieldQuery
from framework.structures.mesh import Mesh

_RESOLUTION = 48  # grid vertices along each side of the cube
_SILHOUETTE = 32  # pixels


@torch.no_grad()
def coloured_surface(scene: Scene, renderer: Renderer, step: StepInfo) -> Mesh:
    """The surface with base colours at its vertices.

    Raises:
        UserError: If there is none.
    """
    mesh = _surface(scene, renderer, step)
    return dataclasses.replace(mesh, colors=_colors(scene, mesh.vertices, step))


def _surface(scene: Scene, renderer: Renderer, step: StepInfo) -> Mesh:
    geometry = scene.geometry
    if isinstance(geometry, SurfaceGeometry):
        mesh = geometry.surface(step)
        geometry.check_surface(mesh)
        return mesh
    if Attribute.SIGNED_DISTANCE in geometry.answers:
        inside = sample_inside(geometry, resolution=_RESOLUTION, step=step)
        return extract_surface(inside, radius=geometry.config.radius)
    grid = sample_density(geometry, resolution=_RESOLUTION, step=step)
    views = silhouette_views(grid.radius, size=_SILHOUETTE, device=grid.values.device)
    opacity = renderer.render(views, scene, frozenset(), step).opacity
    return extract_surface(grid.signed(choose_threshold(grid, views, opacity).value), radius=grid.radius)


def _colors(scene: Scene, positions: Float[Tensor, "V 3"], step: StepInfo) -> Float[Tensor, "V 3"]:
    features = scene.geometry.query(FieldQuery(positions, step, frozenset({Attribute.FEATURES}))).features
    assert features is not None
    return scene.material.surface(features, step).base_color.clamp(0.0, 1.0)
