"""What is said of many scores: robust means, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A statistic of a sample.

    Attributes:
        value: Of the sample.
        low, high: Ends of its 95 % bootstrap interval (percentiles over resamples with replacement).
        count: Size of the sample.
    """

    value: float
    low: float
    high: float
    count: int


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter, which are rounded down to whole values (arXiv:2108.13264)."""
    ordered = sorted(values)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def mean(values: Sequence[float]) -> float:
    """The plain mean; of zeros and ones, a share."""
    return sum(values) / len(values)


def estimate(values: Sequence[float], statistic: Callable[[Sequence[float]], float]) -> Estimate | None:
    """A statistic with its interval; None of no values. Deterministic."""
    if not values:
        return None
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.randint(len(values), (_RESAMPLES, len(values)), generator=generator)
    resampled = sorted(statistic([values[index] for index in row]) for row in drawn.tolist())
    low, high = resampled[int(0.025 * _RESAMPLES)], resampled[int(0.975 * _RESAMPLES) - 1]
    return Estimate(statistic(values), low, high, len(values))
