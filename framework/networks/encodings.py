"""Encodings of positions, and of other coordinates, that let small networks represent detail."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.ops.backends import AUTO
from framework.ops.hash_encoding import HashGridLayout, hash_encoding

_INITIAL_RANGE = 1e-4


class HashGridEncoding(nn.Module):
    """Trainable multiresolution hash grid over the unit cube (Instant-NGP, arXiv:2201.05989).

    Args:
        num_levels, features_per_level, log2_table_size, base_resolution, per_level_scale: See `HashGridLayout`.
        generator: Draws the initial table, uniform in +-1e-4, on its own device.
        backend: Implementation of the operation `hash-encoding`.
    """

    def __init__(
        self,
        *,
        num_levels: int = 16,
        features_per_level: int = 2,
        log2_table_size: int = 19,
        base_resolution: int = 16,
        per_level_scale: float = 1.447269237440378,
        generator: torch.Generator,
        backend: str = AUTO,
    ) -> None:
        super().__init__()
        self.layout = HashGridLayout(num_levels, features_per_level, log2_table_size, base_resolution, per_level_scale)
        shape = (self.layout.num_entries, features_per_level)
        uniform = torch.rand(shape, generator=generator, device=generator.device)
        self.table = nn.Parameter((2.0 * uniform - 1.0) * _INITIAL_RANGE)
        self.backend = backend

    @property
    def output_dim(self) -> int:
        """Features of an encoded position."""
        return self.layout.output_dim

    def forward(
        self, positions: Float[Tensor, "*batch 3"], *, active_levels: int | None = None
    ) -> Float[Tensor, "*batch D"]:
        """Features of positions in the unit cube; levels from `active_levels` on are zero and get no gradient."""
        flat = hash_encoding(positions.reshape(-1, 3), self.table, self.layout, backend=self.backend)
        if active_levels is not None and active_levels < self.layout.num_levels:
            feature = torch.arange(self.output_dim, device=flat.device)
            flat = flat * (feature < active_levels * self.layout.features_per_level)
        return flat.unflatten(0, positions.shape[:-1])


class FrequencyEncoding(nn.Module):
    """Sines and cosines of coordinates at octaves of pi (NeRF, arXiv:2003.08934), after the coordinates themselves.

    Args:
        input_dim: Coordinates of a point, in [-1, 1].
        num_frequencies: Octaves.
    """

    def __init__(self, input_dim: int = 3, *, num_frequencies: int = 6) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.num_frequencies = num_frequencies

    @property
    def output_dim(self) -> int:
        """Features of an encoded point."""
        return self.input_dim * (1 + 2 * self.num_frequencies)

    def forward(self, points: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch E"]:
        """Features of points: the coordinates, then all sines, then all cosines, the coarsest octave first."""
        octaves = math.pi * 2.0 ** torch.arange(self.num_frequencies, device=points.device)
        angles = (octaves[:, None] * points[..., None, :]).flatten(-2)
        return torch.cat([points, torch.sin(angles), torch.cos(angles)], dim=-1)
