"""More samples along rays, where a first pass has found weight (NeRF's hierarchical sampling, arXiv:2003.08934, 5.2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from framework.ops.backends import AUTO, load
from framework.structures.rays import RaySamples


def refine(
    samples: RaySamples,
    weights: Float[Tensor, "M"],
    *,
    count: int,
    jitter: Float[Tensor, "N"] | None = None,
    backend: str = AUTO,
) -> RaySamples:
    """The samples with each interval cut at the points that `count` draws for its ray place in it.

    Draws follow the distribution that is constant in each interval and in proportion to its weight plus 1e-5: draw k of
    a ray is where its cumulative distribution is (k + jitter) / count. The union of the cut intervals is that of the
    samples, so that nothing between the draws is missed. A ray without samples gets none. Not differentiable.

    Args:
        weights: Of the samples, not negative.
        count: Draws for each ray.
        jitter: In [0, 1), of each ray; one half if None.

    Raises:
        ValueError: If `count` is not positive, or the number of weights or of jitters does not fit.
    """
    if count < 1:
        raise ValueError(f"refine: count must be positive, got {count}.")
    if len(weights) != len(samples.starts):
        raise ValueError(f"refine: {len(weights)} weights do not fit {len(samples.starts)} samples.")
    if jitter is not None and len(jitter) != samples.num_rays:
        raise ValueError(f"refine: {len(jitter)} jitters do not fit {samples.num_rays} rays.")
    return load("importance-sampling", weights.device, backend).refine(samples, weights, count, jitter)
