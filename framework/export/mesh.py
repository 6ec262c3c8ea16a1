"""Export of a scene as a textured mesh."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.files import write_text
from framework.core.registries import EXPORTERS
from framework.core.step import StepInfo
from framework.export.base import Exporter
from framework.export.fidelity import Fidelity, compare
from framework.export.gltf import write_glb
from framework.export.isosurface import DensityGrid, Visible, extract_surface, sample_density, sample_inside
from framework.export.loading import load_glb
from framework.export.obj import write_obj
from framework.export.ply import write_ply
from framework.export.simplification import decimate, smooth_normals
from framework.export.specks import without_small_parts
from framework.export.texturing import SurfaceColor, bake, unwrap
from framework.export.threshold import choose_threshold, empty_field, silhouette_views
from framework.export.volume_color import VolumeColor
from framework.geometry.base import SurfaceGeometry
from framework.geometry.solid import clean
from framework.renderers.base import Renderer, Scene
from framework.structures.field import Attribute, FieldQuery
from framework.structures.mesh import Mesh
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views

_log = logging.getLogger(__name__)

# How far the march that colours a texel begins before the surface and ends behind it, in grid spacings.
_OUTSIDE, _INSIDE = 2.0, 6.0


@dataclass(frozen=True, kw_only=True)
class ExportReport(Fidelity):
    """How an export went.

    Attributes:
        threshold: Density at the surface, per world unit; None of what has a surface of its own.
        num_faces: Triangles written.
        seconds: From the field to the baked mesh.
    """

    threshold: float | None
    num_faces: int
    seconds: float

    def __str__(self) -> str:
        place = "" if self.threshold is None else f" at density {self.threshold:.3g}"
        lit = "" if self.lit_psnr is None else f" (lit {self.lit_psnr:.1f} dB)"
        return (
            f"{self.num_faces} faces{place}; against the scene's own renders: silhouette IoU "
            f"{self.silhouette_iou:.3f}, colour PSNR {self.psnr:.1f} dB{lit}; {self.seconds:.1f} s"
        )


@EXPORTERS.register("mesh")
class MeshExporter(Exporter):
    """A textured triangle mesh as GLB, OBJ or PLY, with all textures that the material knows."""

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
        formats: tuple[Literal["glb", "obj", "ply"], ...] = ("glb", "obj")
        """Files to write; PLY has coloured vertices instead of textures. Reports and scores read the GLB file."""

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
            if "glb" not in self.formats:
                raise ValueError(f"formats must contain glb, which reports and scores read, got {list(self.formats)}.")

    config: Config

    def export(self, scene: Scene, renderer: Renderer, folder: Path, step: StepInfo) -> list[Path]:
        """Write `model.glb`, the same mesh in the further formats, and `export.json` (an `ExportReport`).

        What the report compares with the scene is the GLB file as it is read back.
        """
        started = time.perf_counter()
        views = silhouette_views(scene.geometry.config.radius, device=scene.occupancy.density.device)
        with torch.no_grad():
            render = renderer.render(views, scene, frozenset(), step)
            mesh, threshold = self._build(scene, views, render, step)
        seconds = time.perf_counter() - started
        written = self._write(mesh, folder)
        fidelity = compare(load_glb(written[0]), scene, renderer, views, render, step)
        report = ExportReport(threshold=threshold, num_faces=len(mesh.faces), seconds=seconds, **asdict(fidelity))
        record = folder / "export.json"
        write_text(record, json.dumps(asdict(report), indent=2) + "\n")
        _log.info("Exported %s: %s.", written[0], report)
        return [*written, record]

    def _write(self, mesh: Mesh, folder: Path) -> list[Path]:
        written = [folder / "model.glb"]
        write_glb(mesh, written[0])
        if "obj" in self.config.formats:
            written += write_obj(mesh, folder / "model.obj")
        if "ply" in self.config.formats:
            written.append(folder / "model.ply")
            write_ply(mesh, written[-1])
        return written

    def _build(self, scene: Scene, views: Views, render: RenderOutput, step: StepInfo) -> tuple[Mesh, float | None]:
        """The textured mesh of `scene`, and the density at its surface unless it has a surface of its own."""
        geometry, threshold = scene.geometry, None
        if isinstance(geometry, SurfaceGeometry):
            mesh, color = self._of_surface(geometry, step), _surface_color(scene, step)
        elif Attribute.SIGNED_DISTANCE in geometry.answers:
            inside = sample_inside(geometry, resolution=self.config.resolution, step=step)
            mesh, color = self._of_grid(inside, geometry.config.radius), _surface_color(scene, step)
        else:
            grid = sample_density(
                geometry, resolution=self.config.resolution, step=step, is_visible=_occupied(scene)
            ).smoothed(self.config.smoothing)
            threshold = self._threshold(grid, views, render)
            mesh, color = self._of_grid(grid.signed(threshold), grid.radius), self._volume_color(scene, grid, step)
        return self._textured(mesh, color), threshold

    def _threshold(self, grid: DensityGrid, views: Views, render: RenderOutput) -> float:
        if self.config.threshold is None:
            return choose_threshold(grid, views, render.opacity).value
        if not bool((grid.values > self.config.threshold).any()):
            raise UserError(
                f"No density exceeds export.threshold {self.config.threshold:g}. {empty_field(grid, render.opacity)}"
            )
        return self.config.threshold

    def _of_grid(self, inside: Float[Tensor, "N N N"], radius: float) -> Mesh:
        """The surface where a field that is positive inside is zero."""
        cleaned = clean(
            inside,
            min_component_fraction=self.config.min_component_fraction,
            max_opening=self.config.max_opening,
        )
        surface = extract_surface(cleaned, radius=radius)
        if len(surface.faces) == 0:
            raise UserError(
                "There is nothing to export: what is inside lies only on the faces of the geometry's cube. Train longer, "
                "or give geometry.radius a larger value."
            )
        return decimate(surface, max_faces=self.config.max_faces)

    def _of_surface(self, geometry: SurfaceGeometry, step: StepInfo) -> Mesh:
        """The surface that a geometry has itself; where it brings texture coordinates, untouched."""
        surface = geometry.delivered(step)
        if len(surface.faces) == 0:
            raise UserError(
                "There is nothing to export: the surface has no faces any more. Export an earlier checkpoint."
            )
        if surface.uvs is not None:
            return dataclasses.replace(surface, normals=smooth_normals(surface))
        whole = without_small_parts(surface, min_fraction=self.config.min_component_fraction)
        return decimate(whole, max_faces=self.config.max_faces)

    def _textured(self, mesh: Mesh, color: SurfaceColor) -> Mesh:
        if mesh.uvs is None:
            mesh = unwrap(mesh, texture_size=self.config.texture_size, padding=self.config.padding)
        return bake(mesh, color, texture_size=self.config.texture_size)

    def _volume_color(self, scene: Scene, grid: DensityGrid, step: StepInfo) -> VolumeColor:
        return VolumeColor(
            scene.geometry,
            scene.material,
            step,
            outside=_OUTSIDE * grid.spacing,
            inside=_INSIDE * grid.spacing,
            num_samples=self.config.bake_samples,
        )


def _surface_color(scene: Scene, step: StepInfo) -> SurfaceColor:
    """What the material looks like at points of a sharp surface."""

    def color(positions: Tensor, normals: Tensor) -> Tensor:
        features = scene.geometry.query(FieldQuery(positions, step, frozenset({Attribute.FEATURES}))).features
        assert features is not None
        return scene.material.surface(features, step).stacked()

    return color


def _occupied(scene: Scene) -> Visible:
    """Whether points lie in cells that the renderer samples; densities elsewhere are never seen nor trained."""
    cells, radius = scene.occupancy.is_occupied, scene.geometry.config.radius

    def is_visible(positions: torch.Tensor) -> torch.Tensor:
        index = ((positions / radius + 1.0) * (0.5 * len(cells))).long().clamp(0, len(cells) - 1)
        return cells[index[:, 0], index[:, 1], index[:, 2]]

    return is_visible
