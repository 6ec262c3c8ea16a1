"""Multi-layer perceptrons without biases, as tiny-cuda-nn defines them."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from framework.ops.backends import AUTO, load

ACTIVATIONS = ("relu", "softplus", "sigmoid", "tanh")
"""What may follow the hidden layers; the derivative of each is a function of its value."""


def mlp(
    inputs: Float[Tensor, "N D"], weights: Sequence[Tensor], *, activation: str = "relu", backend: str = AUTO
) -> Float[Tensor, "N E"]:
    """Outputs of a perceptron whose hidden layers end in `activation` and whose last layer is linear.

    Differentiable in the inputs and weights. The torch implementation is differentiable twice and follows autocast; the
    others raise there, and compute half precision as float32.

    Args:
        weights: One matrix (outputs, inputs) for each layer; at least one.
        activation: One of `ACTIVATIONS`.

    Raises:
        ValueError: If the sizes of the layers do not fit together, or the activation is unknown.
    """
    sizes = [inputs.shape[1], *(len(weight) for weight in weights)]
    if not weights or any(
        weight.shape != (rows, columns) for columns, rows, weight in zip(sizes, sizes[1:], weights, strict=False)
    ):
        shapes = [tuple(weight.shape) for weight in weights]
        raise ValueError(f"mlp: inputs of {inputs.shape[1]} features do not go through layers of shapes {shapes}.")
    if activation not in ACTIVATIONS:
        raise ValueError(f"mlp: activation '{activation}' is not one of {', '.join(ACTIVATIONS)}.")
    return load("mlp", inputs.device, backend).mlp(inputs, weights, activation)
