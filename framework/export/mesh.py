"""Export of a volume as a textured mesh."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from framework.core.errors import UserError
from framework.core.files import write_text
from framework.core.registries import EXPORTERS
from framework.core.step import StepInfo
from framework.export.base import Exporter
from framework.export.gltf import write_glb
from framework.export.isosurface import DensityGrid, Visible, extract_surface, sample_density
from framework.export.mesh_rendering import render_mesh
from framework.export.obj import write_obj
from framework.export.simplification import decimate
from framework.export.solid import clean
from framework.export.texturing import bake, unwrap
from framework.export.threshold import choose_threshold, empty_field, silhouette_views
from framework.export.volume_color import VolumeColor
from framework.renderers.base import Renderer, Scene
from framework.structures.mesh import Mesh
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views

_log = logging.getLogger(__name__)

# How far the march that colours a texel begins before the surface and ends behind it, in grid spacings.
_OUTSIDE, _INSIDE = 2.0, 6.0


@dataclass(frozen=True)
class ExportReport:
    """How an export went.

    Attributes:
        threshold: Density at the surface, per world unit.
        silhouette_iou: Overlap of the mesh's silhouettes with the opaque pixels of the volume render.
        psnr: Of mesh renders against volume renders from the same views, in plain ambient light, dB.
        num_faces: Triangles written.
        seconds: From the field to the baked mesh.
    """

    threshold: float
    silhouette_iou: float
    psnr: float
    num_faces: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.num_faces} faces at density {self.threshold:.3g}; against the volume's own renders: silhouette IoU "
            f"{self.silhouette_iou:.3f}, colour PSNR {self.psnr:.1f} dB; {self.seconds:.1f} s"
        )


@EXPORTERS.register("mesh")
class MeshExporter(Exporter):
    """A textured triangle mesh as GLB and OBJ."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Exporter.Config):
        threshold: float | None = None
        """Density of the surface, per world unit; without it, the one whose silhouettes match the volume renders."""
        resolution: int = 128
        """Grid vertices along each side of the cube from which the surface is extracted."""
        smoothing: float = 1.0
        """Width of the blur that takes the field's noise off the surface, in grid spacings; 0 keeps it."""
        max_faces: int = 20_000
        """The mesh is simplified to at most so many triangles."""
        texture_size: int = 1024
        """Side of the texture, texels; a power of two."""
        padding: int = 8
        """Room between the charts of the texture, texels."""
        min_component_fraction: float = 0.01
        """Parts that float beside the object are dropped if their surface is a smaller share of the whole than this."""
        max_opening: int = 4
        """Cavities are filled if their openings are at most so many grid vertices wide, rounded up to an even one."""
        bake_samples: int = 8
        """Samples of the march through the surface from which each texel is coloured."""

        def __post_init__(self) -> None:
            if self.threshold is not None and not 0.0 < self.threshold < math.inf:
                raise ValueError(f"threshold must be a positive density, got {self.threshold}.")
            if self.resolution < 8 or self.max_faces < 100 or self.bake_samples < 1:
                raise ValueError(
                    "resolution must be at least 8, max_faces 100 and bake_samples 1, "
                    f"got {self.resolution}, {self.max_faces} and {self.bake_samples}."
                )
            if self.texture_size < 16 or self.texture_size.bit_count() != 1:
                raise ValueError(f"texture_size must be a power of two from 16 on, got {self.texture_size}.")
            if min(self.smoothing, self.padding, self.max_opening) < 0:
                raise ValueError("smoothing, padding and max_opening must not be negative.")
            if not 0.0 <= self.min_component_fraction < 1.0:
                raise ValueError(f"min_component_fraction must lie in [0, 1), got {self.min_component_fraction}.")

    config: Config

    def export(self, scene: Scene, renderer: Renderer, folder: Path, step: StepInfo) -> list[Path]:
        """Write `model.glb`, `model.obj` with its material and texture, and `export.json` (an `ExportReport`)."""
        mesh, report = self.build(scene, renderer, step)
        glb = folder / "model.glb"
        write_glb(mesh, glb)
        record = folder / "export.json"
        write_text(record, json.dumps(asdict(report), indent=2) + "\n")
        written = [glb, *write_obj(mesh, folder / "model.obj"), record]
        _log.info("Exported %s: %s.", glb, report)
        return written

    @torch.no_grad()
    def build(self, scene: Scene, renderer: Renderer, step: StepInfo) -> tuple[Mesh, ExportReport]:
        """The textured mesh of `scene`, and how it compares with what `renderer` shows.

        Raises:
            UserError: If nothing is opaque, or nothing is denser than the configured threshold.
        """
        started = time.perf_counter()
        grid = sample_density(scene.geometry, resolution=self.config.resolution, step=step, is_visible=_occupied(scene))
        grid = grid.smoothed(self.config.smoothing)
        views = silhouette_views(grid.radius, device=grid.values.device)
        render = renderer.render(views, scene, frozenset(), step)
        threshold = self._threshold(grid, views, render)
        mesh = self._textured(self._surface(grid, threshold), scene, grid.spacing, step)
        seconds = time.perf_counter() - started
        iou, psnr = _compare(mesh, scene, views, render, step)
        return mesh, ExportReport(threshold, iou, psnr, len(mesh.faces), seconds)

    def _threshold(self, grid: DensityGrid, views: Views, render: RenderOutput) -> float:
        if self.config.threshold is None:
            return choose_threshold(grid, views, render.opacity).value
        if not bool((grid.values > self.config.threshold).any()):
            raise UserError(
                f"No density exceeds export.threshold {self.config.threshold:g}. {empty_field(grid, render.opacity)}"
            )
        return self.config.threshold

    def _surface(self, grid: DensityGrid, threshold: float) -> Mesh:
        signed = clean(
            grid.signed(threshold),
            min_component_fraction=self.config.min_component_fraction,
            max_opening=self.config.max_opening,
        )
        surface = extract_surface(signed, radius=grid.radius)
        if len(surface.faces) == 0:
            raise UserError(
                f"There is nothing to export: densities above {threshold:.3g} lie only on the faces of the geometry's "
                "cube. Train longer, or give geometry.radius a larger value."
            )
        return decimate(surface, max_faces=self.config.max_faces)

    def _textured(self, mesh: Mesh, scene: Scene, spacing: float, step: StepInfo) -> Mesh:
        color = VolumeColor(
            scene.geometry,
            scene.material,
            step,
            outside=_OUTSIDE * spacing,
            inside=_INSIDE * spacing,
            num_samples=self.config.bake_samples,
        )
        unwrapped = unwrap(mesh, texture_size=self.config.texture_size, padding=self.config.padding)
        return bake(unwrapped, color, texture_size=self.config.texture_size)


def _occupied(scene: Scene) -> Visible:
    """Whether points lie in cells that the renderer samples; densities elsewhere are never seen nor trained."""
    cells, radius = scene.occupancy.is_occupied, scene.geometry.config.radius

    def is_visible(positions: torch.Tensor) -> torch.Tensor:
        index = ((positions / radius + 1.0) * (0.5 * len(cells))).long().clamp(0, len(cells) - 1)
        return cells[index[:, 0], index[:, 1], index[:, 2]]

    return is_visible


def _compare(mesh: Mesh, scene: Scene, views: Views, render: RenderOutput, step: StepInfo) -> tuple[float, float]:
    """Silhouette IoU and colour PSNR (dB) of the mesh against the volume's renders."""
    directions = views.cameras.rays().directions.reshape(len(views), -1, 3)
    background = scene.background.color(directions, step).reshape(render.rgb.shape)
    image = render_mesh(mesh, views, background=background)
    ours, theirs = image.opacity > 0.5, render.opacity > 0.5
    iou = (ours & theirs).sum() / (ours | theirs).sum().clamp_min(1)
    error = (image.rgb - render.rgb).square().mean().clamp_min(1e-10)
    return iou.item(), -10.0 * error.log10().item()
