"""The density at which a volume's surface lies: where silhouettes match the rays that are opaque.

The silhouette of {density > threshold} covers exactly the rays that somewhere exceed the threshold. The highest density
along each ray therefore gives the silhouettes of all thresholds at once, and the best one exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_PLATEAU = 0.005
_SMALLEST_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class ThresholdChoice:
    """A threshold and how every other one would have done.

    Attributes:
        value: The density chosen, per world unit.
        iou: Overlap (intersection over union) of the silhouette at that value with the opaque rays.
        candidates: Densities between which silhouettes change, ascending.
        ious: Overlap just below each candidate.
    """

    value: float
    iou: float
    candidates: Float[Tensor, "C"]
    ious: Float[Tensor, "C"]


def best_threshold(peaks: Float[Tensor, "N"], is_opaque: Bool[Tensor, "N"]) -> ThresholdChoice:
    """The threshold whose silhouette overlaps most with the opaque rays.

    Where a range of thresholds does equally well, the middle of the range (of the logarithm) is taken.

    Args:
        peaks: Highest density along each ray, some of them positive.
        is_opaque: Which rays the silhouette should cover; at least one.
    """
    order = peaks.argsort(descending=True)
    peaks, covered = peaks[order], torch.arange(1, len(peaks) + 1, device=peaks.device)
    hits = is_opaque[order].cumsum(0)
    ious = hits / (hits[-1] + covered - hits)  # of a threshold just below peaks[k], which covers k + 1 rays
    best = int(ious.argmax())
    first, last = _plateau(ious, best)
    # The plateau reaches down to the next ray's peak; zero peaks have no logarithm.
    lowest = peaks[min(last + 1, len(peaks) - 1)].clamp_min(_SMALLEST_SHARE * peaks[first])
    value = (lowest * peaks[first]).sqrt().item()
    return ThresholdChoice(value, ious[best].item(), peaks.flip(0), ious.flip(0))


def _plateau(ious: Float[Tensor, "C"], best: int) -> tuple[int, int]:
    """First and last index of the unbroken range around `best` that is as good as it."""
    worse = (ious < ious[best] - _PLATEAU).nonzero()[:, 0]
    before, after = worse[worse < best], worse[worse > best]
    first = int(before.max()) + 1 if len(before) > 0 else 0
    last = int(after.min()) - 1 if len(after) > 0 else len(ious) - 1
    return first, last
