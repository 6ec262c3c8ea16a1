"""The multiresolution hash grid as an encoding that a field can be configured with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import ENCODINGS
from framework.core.schedule import Schedule
from framework.core.step import StepInfo
from framework.networks.base import Encoding
from framework.networks.encodings import HashGridEncoding
from framework.ops.backends import AUTO


@ENCODINGS.register("hash-grid")
class HashGrid(Encoding):
    """Trainable multiresolution hash grid (Instant-NGP, arXiv:2201.05989)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Encoding.Config):
        num_levels: int = 12
        """Grids of growing resolution."""
        features_per_level: int = 2
        """Features that each grid stores at a point."""
        log2_table_size: int = 15
        """Logarithm of the most entries that a level may have."""
        base_resolution: int = 8
        """Grid points a side of the coarsest level."""
        per_level_scale: float = 1.4
        """Growth of the resolution from level to level."""
        active_levels: Schedule | None = None
        """How many levels, coarsest first, are in use, so that coarse shapes settle before detail (Neuralangelo,
        arXiv:2306.03092); the others are zero. All of them without a schedule."""

        def __post_init__(self) -> None:
            sizes = (self.num_levels, self.features_per_level, self.log2_table_size, self.base_resolution)
            if min(sizes) < 1:
                raise ValueError(f"levels, features, table size and base resolution must be positive, got {sizes}.")
            if self.log2_table_size > 30:
                raise ValueError(f"log2_table_size must be at most 30, got {self.log2_table_size}.")
            if self.per_level_scale < 1.0:
                raise ValueError(f"per_level_scale must be at least 1, got {self.per_level_scale}.")
            if self.active_levels is not None and self.active_levels.bounds()[0] < 1:
                raise ValueError(f"active_levels must stay at 1 or more, got {self.active_levels.bounds()[0]:g}.")

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self.grid = HashGridEncoding(
            num_levels=config.num_levels,
            features_per_level=config.features_per_level,
            log2_table_size=config.log2_table_size,
            base_resolution=config.base_resolution,
            per_level_scale=config.per_level_scale,
            generator=generator,
            backend=backends.get("hash-encoding", AUTO),
        )
        self.output_dim = self.grid.output_dim

    def encode(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N D"]:
        """Features of positions in [0, 1]^3, level by level."""
        schedule = self.config.active_levels
        return self.grid(positions, active_levels=None if schedule is None else int(schedule(step)))
