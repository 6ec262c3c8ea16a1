"""Compositing in plain torch: the reference, differentiable any number of times.

Optical depths are laid out as one padded row for each ray and summed along it. A running sum over all rays, from which
the value at each ray's start is subtracted, would need less memory, but cancels and lets a NaN spread to later rays.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from framework.ops.torch.precision import at_least_float32
from framework.structures.rays import RaySamples


def render_weights(
    density: Float[Tensor, "M"], samples: RaySamples
) -> tuple[Float[Tensor, "M"], Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Weights of the samples; opacity and depth of the rays. See `framework.ops.compositing.composite`."""
    optical_depth = at_least_float32(density) * samples.lengths
    transmittance = torch.exp(-_sum_of_earlier(optical_depth, samples))
    weights = transmittance * -torch.expm1(-optical_depth)
    sums = accumulate(weights, torch.stack([torch.ones_like(weights), samples.middles.to(weights)], dim=1), samples)
    return weights, sums[:, 0], sums[:, 1]


def accumulate(weights: Float[Tensor, "M"], values: Float[Tensor, "M C"], samples: RaySamples) -> Float[Tensor, "N C"]:
    """See `framework.ops.compositing.accumulate`."""
    weighted = at_least_float32(weights)[:, None] * at_least_float32(values)
    return weighted.new_zeros(samples.num_rays, values.shape[1]).index_add(0, samples.ray_index, weighted)


def _sum_of_earlier(values: Float[Tensor, "M"], samples: RaySamples) -> Float[Tensor, "M"]:
    """For each sample, the sum of the values before it on its ray."""
    if len(values) == 0:
        return values
    ray = samples.ray_index.long()
    place = torch.arange(len(values), device=values.device) - samples.offsets.long()[ray]
    rows = values.new_zeros(samples.num_rays, int(place.max()) + 2)
    rows = rows.index_put((ray, place + 1), values)  # moved by one, which makes the running sum exclusive
    return rows.cumsum(dim=1)[ray, place]
