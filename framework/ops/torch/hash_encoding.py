"""Hash encoding in plain torch: the reference, differentiable any number of times."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.ops.hash_encoding import PRIMES, HashGridLayout
from framework.ops.torch.precision import at_least_float32


def hash_encoding(
    positions: Float[Tensor, "N 3"], table: Float[Tensor, "entries F"], layout: HashGridLayout
) -> Float[Tensor, "N D"]:
    """See `framework.ops.hash_encoding.hash_encoding`."""
    positions, table = at_least_float32(positions), at_least_float32(table)
    entries = table.split(layout.sizes)
    levels = [_encode_level(positions, entries[level], layout, level) for level in range(layout.num_levels)]
    return torch.cat(levels, dim=1)


def _encode_level(
    positions: Float[Tensor, "N 3"], entries: Float[Tensor, "size F"], layout: HashGridLayout, level: int
) -> Float[Tensor, "N F"]:
    """Features of one level: the entries of the eight corners of each position's cell, weighted trilinearly."""
    located = positions * layout.scales[level] + 0.5
    cell = located.detach().floor()
    fraction = located - cell
    shares = torch.stack([1.0 - fraction, fraction]).unbind(dim=2)  # for x, y and z: (2 ends of the cell, N)
    points = torch.stack([cell, cell + 1.0]).long().unbind(dim=2)
    features = entries.new_zeros(len(positions), layout.features_per_level)
    for z, y, x in itertools.product((0, 1), repeat=3):
        weight = shares[0][x] * shares[1][y] * shares[2][z]
        rows = _rows(points[0][x], points[1][y], points[2][z], layout, level)
        features = features + weight[:, None] * entries.index_select(0, rows)
    return features


def _rows(
    x: Int[Tensor, "N"], y: Int[Tensor, "N"], z: Int[Tensor, "N"], layout: HashGridLayout, level: int
) -> Int[Tensor, "N"]:
    """Entries of grid points among those of their level."""
    if layout.is_dense(level):
        side = layout.resolutions[level]
        return (x + side * (y + side * z)) % layout.sizes[level]
    return (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) & (layout.sizes[level] - 1)
