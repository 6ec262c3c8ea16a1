"""Volume rendering of signed distance fields (NeuS, arXiv:2106.10689).

With s the sharpness and Phi the logistic function, an interval from distance f to distance g has the opacity
    alpha = max(0, (Phi(s f) - Phi(s g)) / Phi(s f))                                                        (eq. 13).
Its optical depth is -log(1 - alpha) = max(0, log Phi(s f) - log Phi(s g)), so that the interval composites like one of a
density of that depth over its length. f and g are interpolated between the middles of neighbouring intervals: no sample
is asked for twice, and a ray that crosses the surface gathers what lies between its two ends, however it is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core import schedule
from framework.core.registries import RENDERERS
from framework.core.schedule import Schedule
from framework.core.step import StepInfo
from framework.geometry.signed_distance_field import SignedDistanceField
from framework.renderers.base import Scene
from framework.renderers.volume import VolumeRenderer
from framework.structures.field import Attribute, FieldSample
from framework.structures.rays import RaySamples

_LARGEST_GAP = 1e-3
_SMALLEST_LENGTH = 1e-9


@RENDERERS.register("sdf-volume")
class SdfVolume(VolumeRenderer):
    """Volume rendering of signed distance fields, unbiased at the surface (NeuS; TextMesh, arXiv:2304.12439)."""

    draws = SignedDistanceField
    asks = frozenset({Attribute.SIGNED_DISTANCE, Attribute.FEATURES, Attribute.NORMALS})
    shape = Attribute.SIGNED_DISTANCE

    @dataclass(kw_only=True, frozen=True)
    class Config(VolumeRenderer.Config):
        cos_anneal: Schedule = schedule.Constant(1.0)
        """From 0, where a ray gathers opacity however it runs along the surface, to 1, where it does as it approaches;
        the former helps a shape to move at first."""

        def __post_init__(self) -> None:
            super().__post_init__()
            low, high = self.cos_anneal.bounds()
            if low < 0.0 or high > 1.0:
                raise ValueError(f"cos_anneal must stay in [0, 1], got {low:g} to {high:g}.")

    config: Config

    def density(self, sample: FieldSample, samples: RaySamples, scene: Scene, step: StepInfo) -> Float[Tensor, "M"]:
        """Optical depth by length, from distances at both ends of the intervals."""
        assert sample.signed_distance is not None and isinstance(scene.geometry, SignedDistanceField)
        sharpness = scene.geometry.sharpness(step)
        before, after = distances_at_ends(sample.signed_distance, samples)
        fall = annealed_fall(before, after, samples.lengths, self.config.cos_anneal(step))
        middle = 0.5 * (before + after)
        # log Phi(x) = -softplus(-x), in which nothing overflows.
        optical_depth = F.softplus(-sharpness * (middle - 0.5 * fall)) - F.softplus(-sharpness * (middle + 0.5 * fall))
        return optical_depth / samples.lengths.clamp(min=_SMALLEST_LENGTH)


def distances_at_ends(
    distance: Float[Tensor, "M"], samples: RaySamples
) -> tuple[Float[Tensor, "M"], Float[Tensor, "M"]]:
    """Signed distances where intervals begin and end, from those in their middles.

    Where two intervals touch, they agree on the value there. Beside a gap an interval goes on as it does on its other
    side; one that touches no other has its middle's distance at both ends.
    """
    lengths, ray = samples.lengths, samples.ray_index
    gap = (samples.starts[1:] - samples.ends[:-1]).abs()
    is_joint = (ray[1:] == ray[:-1]) & (gap <= _LARGEST_GAP * torch.maximum(lengths[1:], lengths[:-1]))
    share = lengths[:-1] / (lengths[1:] + lengths[:-1]).clamp(min=_SMALLEST_LENGTH)
    joint = distance[:-1] + share * distance.diff()
    none = is_joint.new_zeros(1)
    has_before, has_after = torch.cat([none, is_joint]), torch.cat([is_joint, none])
    # The first and the last sample have no joint at their outer ends, where any value stands until it is replaced.
    before, after = torch.cat([distance[:1], joint]), torch.cat([joint, distance[-1:]])
    goes_on_before = torch.where(has_after, 2.0 * distance - after, distance)
    goes_on_after = torch.where(has_before, 2.0 * distance - before, distance)
    return torch.where(has_before, before, goes_on_before), torch.where(has_after, after, goes_on_after)


def annealed_fall(
    before: Float[Tensor, "M"], after: Float[Tensor, "M"], lengths: Float[Tensor, "M"], anneal: float
) -> Float[Tensor, "M"]:
    """By how much the distance counts as falling over intervals: max(0, fall), or (length + fall) / 2 at anneal 0."""
    fall = before - after
    if anneal == 1.0:
        return fall.clamp(min=0.0)
    return (1.0 - anneal) * (0.5 * (lengths + fall)).clamp(min=0.0) + anneal * fall.clamp(min=0.0)
