"""Which cells of a scene's cube hold anything, so that empty space is not sampled.

Each update takes the density at one random point of every cell; the grid keeps a maximum that decays from update to
update (Instant-NGP, arXiv:2201.05989, appendix C). A cell counts as occupied from the density at which it would hide
`min_opacity` of the light that crosses it, or from the mean density of all cells where that is less. Some cell is
always at or above the mean, so a grid is never empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.structures.field import Attribute, FieldQuery


@dataclass(kw_only=True, frozen=True)
class OccupancySettings:
    """How a scene learns where its space is empty."""

    resolution: int = 48
    """Cells a side."""
    every: int = 16
    """Training steps from one update to the next."""
    decay: float = 0.95
    """Share of a cell's density that an update keeps where it finds less."""
    min_opacity: float = 0.01
    """A cell that would hide less than this share of the light crossing it is empty."""

    def __post_init__(self) -> None:
        if self.resolution < 1 or self.every < 1:
            raise ValueError(f"resolution and every must be positive, got {self.resolution} and {self.every}.")
        if not (0.0 <= self.decay < 1.0 and 0.0 < self.min_opacity < 1.0):
            raise ValueError(
                f"decay must lie in [0, 1) and min_opacity in (0, 1), got {self.decay:g} and {self.min_opacity:g}."
            )


class OccupancyGrid(nn.Module):
    """Cells of a geometry's cube that may hold something.

    All state is in buffers, and draws depend on the step alone, so a resumed run updates as an uninterrupted one.

    Attributes:
        density: Decaying maximum of the density in each cell, per world unit, indexed [x, y, z].
        is_occupied: Cells to sample; all of them before the first update.
    """

    density: Tensor
    is_occupied: Tensor

    def __init__(self, settings: OccupancySettings | None = None) -> None:
        super().__init__()
        self.settings = settings or OccupancySettings()
        shape = (self.settings.resolution,) * 3
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("is_occupied", torch.ones(shape, dtype=torch.bool))

    def is_due(self, step: StepInfo) -> bool:
        """Whether `step` is a training step that begins with an update."""
        return step.is_training and step.step % self.settings.every == 0

    @torch.no_grad()
    def update(self, geometry: Geometry, step: StepInfo) -> None:
        """Look at the density of `geometry` again if an update is due; in other steps nothing happens."""
        if not self.is_due(step):
            return
        positions = self._random_positions(geometry.config.radius, step)
        density = geometry.query(FieldQuery(positions, step, frozenset({Attribute.DENSITY}))).density
        assert density is not None
        self.density.copy_(torch.maximum(self.density * self.settings.decay, density.view_as(self.density)))
        self.is_occupied.copy_(self.density >= self._threshold(geometry.config.radius))

    def occupied_share(self) -> Tensor:
        """Share of the cells that are occupied, a scalar."""
        return self.is_occupied.float().mean()

    def _random_positions(self, radius: float, step: StepInfo) -> Tensor:
        """One uniformly drawn world position in each cell, (R^3, 3)."""
        resolution, device = self.settings.resolution, self.density.device
        index = torch.arange(resolution, device=device)
        cells = torch.stack(torch.meshgrid(index, index, index, indexing="ij"), dim=-1).reshape(-1, 3)
        offsets = torch.rand(len(cells), 3, generator=step.batch_generator("occupancy", device), device=device)
        return (cells + offsets) * (2.0 * radius / resolution) - radius

    def _threshold(self, radius: float) -> Tensor:
        cell = 2.0 * radius / self.settings.resolution
        hiding = -math.log1p(-self.settings.min_opacity) / cell
        return self.density.mean().clamp(max=hiding)
