"""From a field to a closed surface: densities or signed distances on a grid, and marching cubes over it.

A grid has N vertices along each side of the cube [-radius, radius]^3, indexed [x, y, z]. Between them it is the
logarithm log(1 + density radius) that is interpolated: densities rise so steeply that, interpolated as they are, the
surface would always lie next to the emptier vertex.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import scipy  # Its parts are loaded when they are used: ndimage takes a third of a second.
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.step import StepInfo
from framework.export.marching_cubes import marching_cubes
from framework.geometry.base import Geometry
from framework.ops.chunks import in_chunks
from framework.structures.field import Attribute, FieldQuery
from framework.structures.mesh import Mesh

Visible = Callable[[Float[Tensor, "N 3"]], Bool[Tensor, "N"]]

_POINTS_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class DensityGrid:
    """Densities at the vertices of a grid.

    Attributes:
        values: Per world unit, not negative, indexed [x, y, z].
        radius: Half side of the cube, world units.
    """

    values: Float[Tensor, "N N N"]
    radius: float

    @property
    def spacing(self) -> float:
        """Distance between neighbouring vertices, world units."""
        return 2.0 * self.radius / (len(self.values) - 1)

    def at(self, positions: Float[Tensor, "P 3"]) -> Float[Tensor, "P"]:
        """Densities between the vertices; zero outside the cube."""
        # grid_sample wants the last axis of the volume first.
        points = (positions / self.radius).flip(-1)[None, None, None]  # (1, 1, 1, P, 3)
        level = F.grid_sample(self._level[None, None], points, align_corners=True)[0, 0, 0, 0]
        return level.expm1() / self.radius

    def signed(self, threshold: float) -> Float[Tensor, "N N N"]:
        """A field that is zero where the density is `threshold` and positive where it is higher."""
        return self._level - math.log1p(threshold * self.radius)

    def smoothed(self, width: float) -> DensityGrid:
        """The grid after a Gaussian blur of the logarithm with standard deviation `width`, in grid spacings."""
        if width == 0.0:
            return self
        level = scipy.ndimage.gaussian_filter(self._level.cpu().numpy(), width)
        return DensityGrid(torch.from_numpy(level).to(self.values).expm1() / self.radius, self.radius)

    @cached_property
    def _level(self) -> Float[Tensor, "N N N"]:
        return torch.log1p(self.values * self.radius)


@torch.no_grad()
def sample_density(
    geometry: Geometry, *, resolution: int, step: StepInfo, is_visible: Visible | None = None
) -> DensityGrid:
    """Densities of `geometry` on a grid of `resolution` vertices a side.

    Args:
        geometry: The field; its cube is sampled.
        resolution: At least 2.
        step: When the field is asked.
        is_visible: Where the renderer looks at all; densities elsewhere are never seen and count as zero.

    Raises:
        UserError: If the field answers with numbers that are not finite.
    """
    values = _sample(geometry, Attribute.DENSITY, resolution=resolution, step=step, is_visible=is_visible)
    return DensityGrid(values, geometry.config.radius)


@torch.no_grad()
def sample_inside(geometry: Geometry, *, resolution: int, step: StepInfo) -> Float[Tensor, "N N N"]:
    """How far the points of a grid lie inside `geometry`, world units: its signed distance, negated.

    Raises:
        UserError: If the field answers with numbers that are not finite.
    """
    return -_sample(geometry, Attribute.SIGNED_DISTANCE, resolution=resolution, step=step, is_visible=None)


def _sample(
    geometry: Geometry, attribute: Attribute, *, resolution: int, step: StepInfo, is_visible: Visible | None
) -> Float[Tensor, "N N N"]:
    radius, device = geometry.config.radius, _device(geometry)
    line = torch.linspace(-radius, radius, resolution, device=device)
    values = torch.zeros(resolution**3, device=device)

    def ask(part: slice) -> None:
        index = torch.arange(part.start, part.stop, device=device)
        x, y, z = index // resolution**2, index // resolution % resolution, index % resolution
        positions = torch.stack([line[x], line[y], line[z]], dim=-1)
        if is_visible is not None:
            kept = is_visible(positions)
            index, positions = index[kept], positions[kept]
        if len(index) > 0:
            sample = geometry.query(FieldQuery(positions, step, frozenset({attribute})))
            answer = sample.density if attribute is Attribute.DENSITY else sample.signed_distance
            assert answer is not None
            values[index] = answer

    in_chunks(ask, resolution**3, size=_POINTS_AT_ONCE, what="points")
    if not bool(values.isfinite().all()):
        share = 1.0 - values.isfinite().float().mean().item()
        raise UserError(
            f"The field's {attribute.value} is not a finite number at {share:.1%} of the grid, so there is no surface to "
            "export. Export an earlier checkpoint, and lower the learning rate of the geometry."
        )
    return values.reshape(resolution, resolution, resolution)


def extract_surface(signed: Float[Tensor, "N N N"], *, radius: float) -> Mesh:
    """Marching cubes over a field that is positive inside; the cube's own faces close what would stick out of it.

    Faces are counter-clockwise seen from outside, and the surface is closed. Without faces if nothing is inside.
    """
    field = torch.full_like(signed, -1.0)
    inner = (slice(1, -1),) * 3
    field[inner] = signed[inner]
    vertices, faces = marching_cubes(field)
    return Mesh(vertices * (2.0 * radius / (len(signed) - 1)) - radius, faces)


def _device(geometry: Geometry) -> torch.device:
    tensors = [*geometry.parameters(), *geometry.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")
