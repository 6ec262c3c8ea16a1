"""Small perceptrons for fields: bias-free, as tiny-cuda-nn defines them, so that weights open with every backend."""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.ops.backends import AUTO
from framework.ops.mlp import mlp


class MLP(nn.Module):
    """A perceptron with equal hidden layers and a linear output.

    Args:
        input_dim, output_dim: Features per point.
        hidden_dim: Width of each hidden layer.
        num_hidden_layers: Zero makes a single matrix.
        activation: Follows each hidden layer, see `framework.ops.mlp.ACTIVATIONS`.
        generator: Draws the initial weights, on its own device.
        backend: Implementation of the operation `mlp`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        hidden_dim: int = 64,
        num_hidden_layers: int = 1,
        activation: str = "relu",
        generator: torch.Generator,
        backend: str = AUTO,
    ) -> None:
        super().__init__()
        sizes = [input_dim, *[hidden_dim] * num_hidden_layers, output_dim]
        pairs = itertools.pairwise(sizes)
        self.weights = nn.ParameterList(xavier_uniform(rows, columns, generator) for columns, rows in pairs)
        self.activation = activation
        self.backend = backend

    def forward(self, inputs: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch E"]:
        """Outputs for inputs of any batch shape."""
        flat = mlp(inputs.flatten(0, -2), list(self.weights), activation=self.activation, backend=self.backend)
        return flat.unflatten(0, inputs.shape[:-1])


def xavier_uniform(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """A matrix (rows, columns) drawn uniformly with variance 2 / (rows + columns), as tiny-cuda-nn starts layers."""
    bound = math.sqrt(6.0 / (rows + columns))
    uniform = torch.rand(rows, columns, generator=generator, device=generator.device)
    return nn.Parameter((2.0 * uniform - 1.0) * bound)
