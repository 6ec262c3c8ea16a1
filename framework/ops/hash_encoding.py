"""Multiresolution hash encoding of positions (Instant-NGP, arXiv:2201.05989).

The layout follows the published definition of tiny-cuda-nn, so that a table opens with every implementation. Level l:
    scale      s_l = base_resolution * per_level_scale^l - 1
    resolution r_l = ceil(s_l) + 1 grid points a side, a point x lying at s_l x + 1/2 in units of cells.
A level whose r_l^3 points fit into the table is stored densely, x fastest; a finer one is hashed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from framework.ops.backends import AUTO, load

PRIMES = (1, 2654435761, 805459861)
"""Factors of the three coordinates in the spatial hash, whose products are combined by exclusive or."""


@dataclass(frozen=True)
class HashGridLayout:
    """Sizes of a multiresolution hash grid.

    Attributes:
        num_levels: Grids of growing resolution.
        features_per_level: Features of one table entry.
        log2_table_size: Logarithm of the most entries that a level may have.
        base_resolution: Grid points a side of the coarsest level.
        per_level_scale: Growth of the resolution from level to level.
    """

    num_levels: int = 16
    features_per_level: int = 2
    log2_table_size: int = 19
    base_resolution: int = 16
    per_level_scale: float = 1.447269237440378

    def __post_init__(self) -> None:
        if min(self.num_levels, self.features_per_level, self.log2_table_size, self.base_resolution) < 1:
            raise ValueError(f"{self}: every size must be at least 1.")
        if self.log2_table_size > 30 or self.per_level_scale < 1.0:
            raise ValueError(f"{self}: needs log2_table_size <= 30 and per_level_scale >= 1.")

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Cells that the unit interval spans, of each level."""
        return tuple(self.base_resolution * self.per_level_scale**level - 1.0 for level in range(self.num_levels))

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Grid points a side, of each level."""
        return tuple(math.ceil(scale) + 1 for scale in self.scales)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Table entries of each level: those of the dense grid rounded up to a multiple of 8, or the table size."""
        return tuple(min(-(-(side**3) // 8) * 8, self.table_size) for side in self.resolutions)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The entries of level l are `offsets[l]:offsets[l + 1]`."""
        return tuple(sum(self.sizes[:level]) for level in range(self.num_levels + 1))

    @property
    def table_size(self) -> int:
        """Most entries that a level may have."""
        return 1 << self.log2_table_size

    @property
    def num_entries(self) -> int:
        """Rows of the table of all levels."""
        return self.offsets[-1]

    @property
    def output_dim(self) -> int:
        """Features of an encoded position."""
        return self.num_levels * self.features_per_level

    def is_dense(self, level: int) -> bool:
        """Whether every grid point of `level` has an entry of its own."""
        return self.resolutions[level] ** 3 <= self.sizes[level]


def hash_encoding(
    positions: Float[Tensor, "N 3"], table: Float[Tensor, "entries F"], layout: HashGridLayout, *, backend: str = AUTO
) -> Float[Tensor, "N D"]:
    """Features of positions, interpolated trilinearly from the grids of all levels, coarsest first.

    Differentiable in the table and, if required, in the positions. The torch implementation is differentiable twice, as
    analytic normals in a loss need; the others raise there. Half precision is computed as float32.

    Args:
        positions: Points in the unit cube; elsewhere the grids repeat in no useful way.
        table: Entries of all levels, (layout.num_entries, layout.features_per_level).

    Raises:
        ValueError: If the table does not have the shape that `layout` prescribes.
    """
    expected = (layout.num_entries, layout.features_per_level)
    if tuple(table.shape) != expected:
        raise ValueError(f"hash_encoding: the table is {tuple(table.shape)}, but the layout prescribes {expected}.")
    return load("hash-encoding", positions.device, backend).hash_encoding(positions, table, layout)
