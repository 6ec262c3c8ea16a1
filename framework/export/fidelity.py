"""How near an exported mesh comes to the scene that it was taken from: both are drawn from the same views and compared."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import torch

from framework.core.step import StepInfo
from framework.export.mesh_rendering import render_mesh
from framework.materials.physically_based import PhysicallyBased
from framework.materials.surroundings import Surroundings
from framework.renderers.base import Renderer, Scene
from framework.structures.mesh import Mesh
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How alike a mesh and its scene look.

    Attributes:
        silhouette_iou: Overlap of the mesh's silhouettes with the opaque pixels of the scene's renders.
        psnr: Of the mesh's renders against the scene's in plain ambient light, which shows base colours, dB.
        lit_psnr: The same in the material's surroundings; None of materials that have none.
    """

    silhouette_iou: float
    psnr: float
    lit_psnr: float | None


@torch.no_grad()
def compare(
    mesh: Mesh, scene: Scene, renderer: Renderer, views: Views, render: RenderOutput, step: StepInfo
) -> Fidelity:
    """How alike `mesh` and `scene` look.

    Args:
        mesh: As it was delivered, on the CPU.
        scene: What it was taken from.
        renderer: Draws the scene.
        views: In plain ambient light.
        render: The scene's render of these views.
        step: When the scene is drawn.
    """
    surroundings = None
    if isinstance(scene.material, PhysicallyBased):
        surroundings = copy.deepcopy(scene.material.surroundings).cpu()
    ours = _drawn(mesh, scene, views, surroundings, step)
    seen, opaque = ours.opacity > 0.5, render.opacity.cpu() > 0.5
    iou = (seen & opaque).sum() / (seen | opaque).sum().clamp_min(1)
    lit_psnr = None
    if surroundings is not None:
        lit = _lit(views)
        lit_render = renderer.render(lit, scene, frozenset(), step)
        lit_psnr = _psnr(_drawn(mesh, scene, lit, surroundings, step), lit_render)
    return Fidelity(silhouette_iou=iou.item(), psnr=_psnr(ours, render), lit_psnr=lit_psnr)


def _drawn(mesh: Mesh, scene: Scene, views: Views, surroundings: Surroundings | None, step: StepInfo) -> RenderOutput:
    """The mesh before the scene's background."""
    size = views.cameras.height, views.cameras.width
    directions = views.cameras.rays().directions.reshape(len(views), -1, 3)
    background = scene.background.color(directions, step).reshape(len(views), *size, 3).cpu()
    return render_mesh(mesh, views.to("cpu"), background=background, surroundings=surroundings)


def _lit(views: Views) -> Views:
    """The views in the material's surroundings, which replace any light that is not plain ambient."""
    lights = dataclasses.replace(views.lights, diffuse=torch.ones_like(views.lights.diffuse))
    return dataclasses.replace(views, lights=lights)


def _psnr(ours: RenderOutput, theirs: RenderOutput) -> float:
    error = (ours.rgb - theirs.rgb.cpu()).square().mean().clamp_min(1e-10)
    return -10.0 * error.log10().item()
