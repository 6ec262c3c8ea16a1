"""A dense grid of densities and features, interpolated trilinearly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core import schedule
from framework.core.registries import GEOMETRIES
from framework.core.schedule import Schedule
from framework.core.step import StepInfo
from framework.geometry.dense_grid import dense_layout, interpolate_grid
from framework.geometry.volume_field import VolumeField
from framework.ops.backends import AUTO
from framework.structures.field import Attribute, FieldQuery, FieldSample

_INITIAL_RANGE = 1e-2


@GEOMETRIES.register("voxel-grid")
class VoxelGrid(VolumeField):
    """A dense voxel grid: quick to fit, coarse, without a network (SJC, arXiv:2212.00774, and Plenoxels)."""

    answers = VolumeField.answers | {Attribute.GRID}

    @dataclass(kw_only=True, frozen=True)
    class Config(VolumeField.Config):
        resolution: int = 64
        """Grid points a side; the outermost lie on the faces of the cube."""
        normal_epsilon: Schedule = schedule.Constant(0.03)
        """Distance of the densities behind finite differences from the point, world units; a cell is about as wide."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 2 <= self.resolution <= 512:
                raise ValueError(f"resolution must lie in [2, 512], got {self.resolution}.")

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self.layout = dense_layout(config.resolution, self.num_channels)
        uniform = torch.rand(self.layout.num_entries, self.num_channels, generator=generator, device=generator.device)
        self.values = nn.Parameter((2.0 * uniform - 1.0) * _INITIAL_RANGE)

    def query(self, query: FieldQuery) -> FieldSample:
        """The wanted attributes; the values of the grid itself among them."""
        sample = super().query(replace(query, wants=query.wants - {Attribute.GRID}))
        return replace(sample, grid=self._grid()) if Attribute.GRID in query.wants else sample

    def _grid(self) -> Float[Tensor, "C D H W"]:
        side = self.config.resolution
        return self.values[: side**3].view(side, side, side, -1).movedim(-1, 0)

    def channels(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N C"]:
        """All channels of points in the unit cube, not activated."""
        return interpolate_grid(positions, self.values, self.layout, backend=self.backends.get("hash-encoding", AUTO))
