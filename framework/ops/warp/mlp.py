"""Perceptrons in Warp kernels, an item being a point that goes through all layers; differentiable once.

The values of all layers of a point lie in one row of a matrix, the inputs first; so do their gradients. Weights lie in
one vector, layer after layer. The gradient of a weight matrix is then one product of two blocks of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, no_type_check

import torch
import warp as wp
from torch import Tensor

from framework.ops.mlp import ACTIVATIONS
from framework.ops.warp.differentiation import refuse_second_derivatives
from framework.ops.warp.launching import launch

wp.set_module_options({"enable_backward": False})

_RELU = wp.constant(ACTIVATIONS.index("relu"))
_SOFTPLUS = wp.constant(ACTIVATIONS.index("softplus"))
_SIGMOID = wp.constant(ACTIVATIONS.index("sigmoid"))


def mlp(inputs: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
    """See `framework.ops.mlp.mlp`."""
    return _Perceptron.apply(inputs.float(), activation, *(weight.float() for weight in weights))


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, activation: str, *weights: Tensor) -> Tensor:
        sizes = (inputs.shape[1], *(len(weight) for weight in weights))
        flat = torch.cat([weight.detach().flatten() for weight in weights])
        rows = inputs.new_empty(len(inputs), sum(sizes))
        rows[:, : sizes[0]] = inputs.detach()
        work = len(flat)
        arguments = [_sizes(sizes, inputs.device), flat, ACTIVATIONS.index(activation), rows]
        launch(_forward, len(inputs), arguments, device=inputs.device, work_per_item=work)
        ctx.save_for_backward(flat, rows)
        ctx.sizes, ctx.activation = sizes, activation
        return rows[:, -sizes[-1] :].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives("mlp")
        flat, rows = ctx.saved_tensors
        sizes = ctx.sizes
        grad_rows = torch.zeros_like(rows)
        grad_rows[:, -sizes[-1] :] = grads[0]
        arguments = [_sizes(sizes, rows.device), flat, ACTIVATIONS.index(ctx.activation), rows, grad_rows]
        launch(_backward, len(rows), arguments, device=rows.device, work_per_item=len(flat))
        values, grad_values = rows.split(sizes, dim=1), grad_rows.split(sizes, dim=1)
        grad_weights = [grad_values[layer + 1].T @ values[layer] for layer in range(len(sizes) - 1)]
        return grad_values[0].clone(), None, *grad_weights


@cache
def _sizes(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(sizes, dtype=torch.int32, device=device)


@no_type_check
@wp.func
def _activated(x: wp.float32, activation: wp.int32):
    if activation == _RELU:
        return wp.max(x, 0.0)
    if activation == _SOFTPLUS:
        return wp.max(x, 0.0) + wp.log(1.0 + wp.exp(-wp.abs(x)))
    if activation == _SIGMOID:
        return 1.0 / (1.0 + wp.exp(-x))
    return wp.tanh(x)


@no_type_check
@wp.func
def _derivative(y: wp.float32, activation: wp.int32):
    """Derivative of the activation where its value is `y`."""
    if activation == _RELU:
        return wp.where(y > 0.0, 1.0, 0.0)
    if activation == _SOFTPLUS:
        return 1.0 - wp.exp(-y)
    if activation == _SIGMOID:
        return y * (1.0 - y)
    return 1.0 - y * y


@no_type_check
@wp.kernel
def _forward(
    first: wp.int32,
    sizes: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.float32),
    activation: wp.int32,
    rows: wp.array2d(dtype=wp.float32),
):
    point = first + wp.tid()
    source = wp.int32(0)
    weight = wp.int32(0)
    for layer in range(sizes.shape[0] - 1):
        num_inputs = sizes[layer]
        num_outputs = sizes[layer + 1]
        for output in range(num_outputs):
            total = wp.float32(0.0)
            for i in range(num_inputs):
                total += weights[weight + i] * rows[point, source + i]
            if layer < sizes.shape[0] - 2:
                total = _activated(total, activation)
            rows[point, source + num_inputs + output] = total
            weight += num_inputs
        source += num_inputs


@no_type_check
@wp.kernel
def _backward(
    first: wp.int32,
    sizes: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.float32),
    activation: wp.int32,
    rows: wp.array2d(dtype=wp.float32),
    grad_rows: wp.array2d(dtype=wp.float32),
):
    """Fill the gradients of all layers before the last, in rows that are zero there."""
    point = first + wp.tid()
    target = rows.shape[1] - sizes[sizes.shape[0] - 1]
    weight = weights.shape[0]
    for backwards in range(sizes.shape[0] - 1):
        layer = sizes.shape[0] - 2 - backwards
        num_inputs = sizes[layer]
        num_outputs = sizes[layer + 1]
        source = target - num_inputs
        weight -= num_inputs * num_outputs
        for output in range(num_outputs):
            grad = grad_rows[point, target + output]
            for i in range(num_inputs):
                part = grad * weights[weight + output * num_inputs + i]
                grad_rows[point, source + i] = grad_rows[point, source + i] + part
        if layer > 0:
            for i in range(num_inputs):
                derivative = _derivative(rows[point, source + i], activation)
                grad_rows[point, source + i] = grad_rows[point, source + i] * derivative
        target = source
