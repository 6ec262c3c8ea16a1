"""Points on the surface of a scene.

They are spread evenly over its area: they are drawn evenly in a shell around the scene that is thin against every
detail, and so contains as much volume above each piece of surface as the piece has area (a few per cent more where a
detail curves outwards), then moved to the nearest surface point. The shell lies outside, where the signed distance is
exact, so that surfaces which parts bury in one another, or on which they rest, are not found; the inside of a mug is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.structures.record import TensorRecord
from framework.toybox.evaluation.voxels import cell_centers
from framework.toybox.pack import ScenePack, part_distances, signed_distance
from framework.toybox.scenes import Scene, extent

_SHELL = 4e-3
"""Thickness of the shell, world units; scenes are about 1.5 long."""
_TOLERANCE = 5e-4
"""Points that end farther from the surface (their way led over an edge) are dropped, world units."""
_NORMAL_STEP = 5e-4
_COARSE = 32
"""Cells along each side of the cube among which those that the shell meets are looked for."""
_TRIES = 1 << 15


@dataclass(frozen=True, eq=False)
class SurfacePoints(TensorRecord):
    """N points, each standing for the same area.

    Attributes:
        positions: World space.
        normals: Unit vectors, outwards.
        part: Index of the part that is seen there.
    """

    positions: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    part: Int[Tensor, "N"]


class SceneSurface:
    """A scene that answers distance and colour at points, and points of its surface.

    Args:
        scene: Usually the best-fitting one of a caption.
        count: Number of surface points.
        generator: On the CPU.

    Attributes:
        scene: As given.
        points: Its surface.
        size: The longest side of its bounding box, world units.
    """

    @torch.no_grad()
    def __init__(self, scene: Scene, *, count: int, generator: torch.Generator) -> None:
        self.scene = scene
        self._pack = ScenePack.from_scenes([scene])
        low, high = extent(scene.parts)
        self.size = float((high - low).max())
        self.points = self._sample(count, generator)

    @torch.no_grad()
    def distance(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M"]:
        """Signed distance, negative inside, world units; a lower bound of the depth where parts overlap."""
        return signed_distance(self._pack, points[None])[0]

    @torch.no_grad()
    def part(self, points: Float[Tensor, "M 3"]) -> Int[Tensor, "M"]:
        """Index of the nearest part."""
        return part_distances(self._pack, points[None])[0].argmin(dim=0)

    @property
    def albedo(self) -> Float[Tensor, "P 3"]:
        """Colours of the parts, sRGB values in [0, 1]."""
        return self._pack.albedo[0]

    def _sample(self, count: int, generator: torch.Generator) -> SurfacePoints:
        width = 2.0 / _COARSE
        centers = cell_centers(_COARSE).reshape(-1, 3)
        # No point of a cell is farther from its centre than half its diagonal.
        cells = centers[self.distance(centers).abs() <= 0.5 * 3**0.5 * width + _SHELL]
        found, parts = 0, []
        while found < count:
            chosen = cells[torch.randint(len(cells), (_TRIES,), generator=generator)]
            positions = chosen + (torch.rand(_TRIES, 3, generator=generator) - 0.5) * width
            distance = self.distance(positions)
            is_near = (distance > 0.0) & (distance < _SHELL)
            parts.append(self._projected(positions[is_near], distance[is_near]))
            found += len(parts[-1])
        return SurfacePoints.concatenate(parts)[:count]

    def _projected(self, positions: Float[Tensor, "N 3"], distance: Float[Tensor, "N"]) -> SurfacePoints:
        normals = self._gradient(positions)
        positions = positions - distance[:, None] * normals
        is_there = self._is_surface(positions)
        positions, normals = positions[is_there], normals[is_there]
        return SurfacePoints(positions, normals, self.part(positions))

    def _is_surface(self, positions: Float[Tensor, "N 3"]) -> Bool[Tensor, "N"]:
        return self.distance(positions).abs() < _TOLERANCE

    def _gradient(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Directions of the steepest ascent, by central differences."""
        offsets = _NORMAL_STEP * torch.cat([torch.eye(3), -torch.eye(3)])
        around = self.distance((positions[:, None] + offsets).reshape(-1, 3)).reshape(-1, 2, 3)
        return torch.nn.functional.normalize(around[:, 0] - around[:, 1], dim=-1)
