"""What a volume looks like at a point of its surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.materials.base import Material
from framework.structures.field import Attribute, FieldQuery

_WANTS = frozenset({Attribute.DENSITY, Attribute.FEATURES})
_LEAST_WEIGHT = 1e-4  # where a whole march meets nothing, its samples count alike


@dataclass(frozen=True)
class VolumeColor:
    """`SurfaceProperties` of surface points, stacked, composited along a short march through the surface.

    The march goes against the normal. The surface lies within fog whose colour changes with depth, and a render shows
    a mixture. Taking the colour at one depth would bake one that was never seen.

    Attributes:
        geometry, material: The field and its look.
        step: When they are asked.
        outside, inside: How far before and behind the surface the march goes, world units.
        num_samples: Samples of the march.
    """

    geometry: Geometry
    material: Material
    step: StepInfo
    outside: float
    inside: float
    num_samples: int

    @torch.no_grad()
    def __call__(self, positions: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N C"]:
        """What `SurfaceProperties.stacked` returns, at surface points with unit normals that point outwards."""
        count, length = len(positions), (self.outside + self.inside) / self.num_samples
        middles = torch.arange(self.num_samples, device=positions.device) + 0.5
        offsets = self.outside - length * middles  # (S,), along the normal
        points = positions[:, None] + offsets[:, None] * normals[:, None]  # (N, S, 3)
        sample = self.geometry.query(FieldQuery(points.reshape(-1, 3), self.step, _WANTS))
        assert sample.density is not None and sample.features is not None
        colors = self.material.surface(sample.features, self.step).stacked()
        colors = colors.reshape(count, self.num_samples, -1)
        optical = sample.density.reshape(count, self.num_samples) * length
        before = optical.cumsum(dim=1) - optical
        weights = torch.exp(-before) * -torch.expm1(-optical) + _LEAST_WEIGHT
        return (weights[..., None] * colors).sum(dim=1) / weights.sum(dim=1, keepdim=True)
