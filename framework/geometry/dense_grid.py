"""Values on a regular grid over the unit cube, whose outermost points lie on its faces, interpolated trilinearly.

One dense level of the hash encoding is such a grid, so that its fast implementations serve here, too.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from framework.ops.backends import AUTO
from framework.ops.hash_encoding import HashGridLayout, hash_encoding


def dense_layout(side: int, num_channels: int) -> HashGridLayout:
    """The layout of a grid with `side` points a side; values stand x fastest, in the first side^3 rows of their table."""
    return HashGridLayout(1, num_channels, math.ceil(3 * math.log2(side)), side, 1.0)


def interpolate_grid(
    positions: Float[Tensor, "N 3"], values: Float[Tensor, "entries C"], layout: HashGridLayout, *, backend: str = AUTO
) -> Float[Tensor, "N C"]:
    """Values at positions in [0, 1]^3; differentiable as `hash_encoding` is."""
    # The encoding shifts points by half a cell, for the sake of its other levels; a grid that ends on the faces of the
    # cube is not shifted.
    shifted = positions - 0.5 / (layout.base_resolution - 1)
    return hash_encoding(shifted, values, layout, backend=backend)


def grid_points(layout: HashGridLayout) -> Float[Tensor, "P 3"]:
    """Where the values stand in [0, 1]^3, in their order."""
    line = torch.linspace(0.0, 1.0, layout.base_resolution)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], dim=-1).reshape(-1, 3)
