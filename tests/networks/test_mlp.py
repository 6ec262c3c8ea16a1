"""The perceptron module."""

from __future__ import annotations

import math

import torch

from framework.networks.mlp import MLP


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_layers_are_bias_free_matrices_of_the_named_sizes() -> None:
    network = MLP(24, 4, hidden_dim=32, num_hidden_layers=2, generator=seeded(0))
    assert [tuple(weight.shape) for weight in network.parameters()] == [(32, 24), (32, 32), (4, 32)]


def test_no_hidden_layer_makes_a_linear_map() -> None:
    network = MLP(3, 2, num_hidden_layers=0, generator=seeded(0))
    inputs = torch.randn(5, 3, generator=seeded(1))
    torch.testing.assert_close(network(inputs), inputs @ network.weights[0].T)


def test_initial_weights_fill_the_range_of_xavier_and_follow_the_generator() -> None:
    first, second, other = (MLP(64, 64, hidden_dim=64, generator=seeded(seed)) for seed in (0, 0, 1))
    bound = math.sqrt(6.0 / 128.0)
    assert 0.99 * bound < float(first.weights[0].detach().abs().max()) <= bound
    assert torch.equal(first.weights[1], second.weights[1]) and not torch.equal(first.weights[1], other.weights[1])


def test_batch_dimensions_are_kept() -> None:
    network = MLP(3, 2, hidden_dim=8, generator=seeded(0))
    inputs = torch.randn(4, 5, 3, generator=seeded(1))
    outputs = network(inputs)
    assert outputs.shape == (4, 5, 2)
    torch.testing.assert_close(outputs[1, 2], network(inputs[1, 2][None])[0])


def test_gradients_reach_every_layer() -> None:
    network = MLP(3, 2, hidden_dim=8, num_hidden_layers=2, generator=seeded(0))
    network(torch.randn(50, 3, generator=seeded(1))).square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in network.parameters())
