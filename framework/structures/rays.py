"""Rays and the samples taken along them.

Distances are along unit directions, in world units. Samples of many rays lie packed one behind the other: those of ray i
are `offsets[i]:offsets[i + 1]`, sorted by distance, so that empty rays cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.record import TensorRecord


@dataclass(frozen=True, eq=False)
class Rays(TensorRecord):
    """N rays: origins in world space and unit directions."""

    origins: Float[Tensor, "N 3"]
    directions: Float[Tensor, "N 3"]


@dataclass(frozen=True, eq=False)
class RaySamples:
    """M intervals along N rays, packed by ray.

    Attributes:
        ray_index: The ray that each sample belongs to, ascending.
        starts, ends: Distances at which each interval begins and ends, world units.
        offsets: The samples of ray i are `offsets[i]:offsets[i + 1]`.
    """

    ray_index: Int[Tensor, "M"]
    starts: Float[Tensor, "M"]
    ends: Float[Tensor, "M"]
    offsets: Int[Tensor, "N_plus_1"]

    @property
    def num_rays(self) -> int:
        """Number of rays, those without samples included."""
        return len(self.offsets) - 1

    @property
    def middles(self) -> Float[Tensor, "M"]:
        """Distance to the middle of each interval."""
        return 0.5 * (self.starts + self.ends)

    @property
    def lengths(self) -> Float[Tensor, "M"]:
        """Length of each interval."""
        return self.ends - self.starts

    @classmethod
    def between(cls, edges: Float[Tensor, "R edges"], rays: Int[Tensor, "R"], *, num_rays: int) -> RaySamples:
        """The intervals between edges that ascend along some of `num_rays` rays, whose numbers `rays` ascend, too."""
        count = edges.shape[1] - 1
        counts = rays.new_zeros(num_rays + 1).index_fill(0, rays + 1, count)
        starts, ends = edges[:, :-1].reshape(-1), edges[:, 1:].reshape(-1)
        return cls(rays.repeat_interleave(count), starts, ends, counts.cumsum(dim=0))

    def positions(self, rays: Rays) -> Float[Tensor, "M 3"]:
        """World positions of the middles."""
        origins, directions = (part.index_select(0, self.ray_index) for part in (rays.origins, rays.directions))
        return torch.addcmul(origins, directions, self.middles[:, None])
