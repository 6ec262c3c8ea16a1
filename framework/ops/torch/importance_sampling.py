"""Importance sampling in plain torch.

One running sum in double precision serves all rays: that of ray i is what the sum grows by between its first and its last
sample, so that draws of all rays are found in it by one search, in order.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.rays import RaySamples

_FLOOR = 1e-5


@torch.no_grad()
def refine(
    samples: RaySamples, weights: Float[Tensor, "M"], count: int, jitter: Float[Tensor, "N"] | None
) -> RaySamples:
    """See `framework.ops.importance_sampling.refine`."""
    offsets = samples.offsets.long()
    has_samples = (offsets.diff() > 0).nonzero()[:, 0]
    mass = weights.double() + _FLOOR
    running = torch.cat([mass.new_zeros(1), mass.cumsum(dim=0)])  # (M + 1,)
    first, last = offsets[has_samples], offsets[has_samples + 1]
    shift = 0.5 if jitter is None else jitter[has_samples, None].double()
    quantiles = (torch.arange(count, device=mass.device) + shift) / count
    targets = running[first, None] + (running[last] - running[first])[:, None] * quantiles  # (rays, count)
    found = torch.searchsorted(running, targets, right=True) - 1
    interval = torch.minimum(torch.maximum(found, first[:, None]), last[:, None] - 1).reshape(-1)
    fraction = ((targets.reshape(-1) - running[interval]) / mass[interval]).clamp(0.0, 1.0)
    cuts = samples.starts[interval] + fraction.to(samples.starts) * samples.lengths[interval]
    return _cut(samples, interval, cuts, torch.zeros_like(offsets).index_fill(0, has_samples + 1, count).cumsum(dim=0))


def _cut(
    samples: RaySamples, interval: Int[Tensor, "K"], cuts: Float[Tensor, "K"], added: Int[Tensor, "N_plus_1"]
) -> RaySamples:
    """Samples cut at `cuts`, which ascend and lie in the intervals `interval`; `added` is how many come before a ray."""
    count = torch.bincount(interval, minlength=len(samples.starts))
    place = (
        torch.arange(len(count), device=count.device) + count.cumsum(dim=0) - count
    )  # where each interval begins now
    starts = samples.starts.new_empty(len(count) + len(cuts))
    starts[place] = samples.starts
    starts[interval + 1 + torch.arange(len(cuts), device=count.device)] = cuts
    ends = starts.roll(-1)
    ends[place + count] = samples.ends
    ray_index = samples.ray_index.repeat_interleave(count + 1)
    return RaySamples(ray_index, starts, ends, samples.offsets + added.to(samples.offsets))
