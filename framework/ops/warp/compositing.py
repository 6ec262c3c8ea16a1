"""Compositing in Warp kernels, an item being a ray; differentiable once.

With G_i the gradient of the loss in the weight w_i, through whatever result, and tau_i = sigma_i d_i the optical depth:
    dL / d tau_i = T_{i+1} G_i - sum_{j > i} w_j G_j,
which a walk from the last sample to the first sums without subtracting.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from framework.ops.warp.differentiation import refuse_second_derivatives
from framework.ops.warp.launching import launch
from framework.structures.rays import RaySamples

wp.set_module_options({"enable_backward": False})

_SAMPLES_PER_RAY = 16


def render_weights(
    density: Float[Tensor, "M"], samples: RaySamples
) -> tuple[Float[Tensor, "M"], Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Weights of the samples; opacity and depth of the rays. See `framework.ops.compositing.composite`."""
    starts, ends = samples.starts.float().contiguous(), samples.ends.float().contiguous()
    return _RenderWeights.apply(density.float(), starts, ends, samples.offsets.long().contiguous())


def accumulate(weights: Float[Tensor, "M"], values: Float[Tensor, "M C"], samples: RaySamples) -> Float[Tensor, "N C"]:
    """See `framework.ops.compositing.accumulate`."""
    return _Accumulate.apply(weights.float(), values.float(), samples.offsets.long().contiguous())


class _RenderWeights(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, density: Tensor, starts: Tensor, ends: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        density = density.detach().contiguous()
        num_rays = len(offsets) - 1
        weights, transmitted = torch.empty_like(density), torch.empty_like(density)
        opacity, depth = density.new_empty(num_rays), density.new_empty(num_rays)
        arguments = [offsets, starts, ends, density, weights, transmitted, opacity, depth]
        launch(_weights_forward, num_rays, arguments, device=density.device, work_per_item=_SAMPLES_PER_RAY)
        ctx.save_for_backward(offsets, starts, ends, weights, transmitted)
        return weights, opacity, depth

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        refuse_second_derivatives("compositing")
        offsets, starts, ends, weights, transmitted = ctx.saved_tensors
        grad_density = torch.empty_like(weights)
        arguments = [offsets, starts, ends, weights, transmitted, *(grad.contiguous() for grad in grads), grad_density]
        launch(_weights_backward, len(offsets) - 1, arguments, device=weights.device, work_per_item=_SAMPLES_PER_RAY)
        return grad_density, None, None, None


class _Accumulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
        weights, values = weights.detach().contiguous(), values.detach().contiguous()
        ctx.save_for_backward(weights, values, offsets)
        num_rays = len(offsets) - 1
        sums = values.new_zeros(num_rays, values.shape[1])
        arguments = [offsets, weights, values, sums]
        launch(_sums_forward, num_rays, arguments, device=values.device, work_per_item=_SAMPLES_PER_RAY)
        return sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        refuse_second_derivatives("compositing")
        weights, values, offsets = ctx.saved_tensors
        grad_weights, grad_values = torch.empty_like(weights), torch.empty_like(values)
        arguments = [offsets, weights, values, grads[0].contiguous(), grad_weights, grad_values]
        launch(_sums_backward, len(offsets) - 1, arguments, device=values.device, work_per_item=_SAMPLES_PER_RAY)
        return grad_weights, grad_values, None


@no_type_check
@wp.func
def _alpha(x: wp.float32):
    """1 - exp(-x), by its series where the difference would lose digits."""
    if x < 0.1:
        return x * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0))))
    return 1.0 - wp.exp(-x)


@no_type_check
@wp.kernel
def _weights_forward(
    first: wp.int32,
    offsets: wp.array(dtype=wp.int64),
    starts: wp.array(dtype=wp.float32),
    ends: wp.array(dtype=wp.float32),
    density: wp.array(dtype=wp.float32),
    weights: wp.array(dtype=wp.float32),
    transmitted: wp.array(dtype=wp.float32),
    opacity: wp.array(dtype=wp.float32),
    depth: wp.array(dtype=wp.float32),
):
    """Also writes what is left of the light behind each sample, T_{i+1}, for the gradient."""
    ray = first + wp.tid()
    optical_depth = wp.float32(0.0)
    transmittance = wp.float32(1.0)
    total = wp.float32(0.0)
    distance = wp.float32(0.0)
    for sample in range(wp.int32(offsets[ray]), wp.int32(offsets[ray + 1])):
        own = density[sample] * (ends[sample] - starts[sample])
        weight = transmittance * _alpha(own)
        optical_depth += own
        transmittance = wp.exp(-optical_depth)
        weights[sample] = weight
        transmitted[sample] = transmittance
        total += weight
        distance += weight * (0.5 * (starts[sample] + ends[sample]))
    opacity[ray] = total
    depth[ray] = distance


@no_type_check
@wp.kernel
def _weights_backward(
    first: wp.int32,
    offsets: wp.array(dtype=wp.int64),
    starts: wp.array(dtype=wp.float32),
    ends: wp.array(dtype=wp.float32),
    weights: wp.array(dtype=wp.float32),
    transmitted: wp.array(dtype=wp.float32),
    grad_weights: wp.array(dtype=wp.float32),
    grad_opacity: wp.array(dtype=wp.float32),
    grad_depth: wp.array(dtype=wp.float32),
    grad_density: wp.array(dtype=wp.float32),
):
    ray = first + wp.tid()
    begin = wp.int32(offsets[ray])
    end = wp.int32(offsets[ray + 1])
    behind = wp.float32(0.0)
    for backwards in range(end - begin):
        sample = end - 1 - backwards
        middle = 0.5 * (starts[sample] + ends[sample])
        grad = grad_weights[sample] + grad_opacity[ray] + grad_depth[ray] * middle
        length = ends[sample] - starts[sample]
        grad_density[sample] = length * (transmitted[sample] * grad - behind)
        behind += weights[sample] * grad


@no_type_check
@wp.kernel
def _sums_forward(
    first: wp.int32,
    offsets: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.float32),
    values: wp.array2d(dtype=wp.float32),
    sums: wp.array2d(dtype=wp.float32),
):
    ray = first + wp.tid()
    for sample in range(wp.int32(offsets[ray]), wp.int32(offsets[ray + 1])):
        for channel in range(values.shape[1]):
            sums[ray, channel] = sums[ray, channel] + weights[sample] * values[sample, channel]


@no_type_check
@wp.kernel
def _sums_backward(
    first: wp.int32,
    offsets: wp.array(dtype=wp.int64),
    weights: wp.array(dtype=wp.float32),
    values: wp.array2d(dtype=wp.float32),
    grad_sums: wp.array2d(dtype=wp.float32),
    grad_weights: wp.array(dtype=wp.float32),
    grad_values: wp.array2d(dtype=wp.float32),
):
    ray = first + wp.tid()
    for sample in range(wp.int32(offsets[ray]), wp.int32(offsets[ray + 1])):
        grad = wp.float32(0.0)
        for channel in range(values.shape[1]):
            grad += values[sample, channel] * grad_sums[ray, channel]
            grad_values[sample, channel] = weights[sample] * grad_sums[ray, channel]
        grad_weights[sample] = grad
