"""Perceptrons without biases."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from framework.ops.mlp import ACTIVATIONS, mlp


def draw(generator: torch.Generator, sizes: tuple[int, ...], count: int) -> tuple[Tensor, list[Tensor]]:
    """Inputs, and the weights between layers of `sizes`."""
    weights = [
        torch.randn(rows, columns, generator=generator) / columns**0.5 for columns, rows in itertools.pairwise(sizes)
    ]
    return torch.randn(count, sizes[0], generator=generator), weights


def test_one_hidden_unit_is_a_rectified_product(backend: str, device: torch.device) -> None:
    inputs = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], device=device)
    weights = [torch.tensor([[3.0, 1.0]], device=device), torch.tensor([[2.0], [-1.0]], device=device)]
    expected = torch.tensor([[10.0, -5.0], [0.0, 0.0]], device=device)
    assert torch.equal(mlp(inputs, weights, backend=backend), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_torch_gradients_agree_with_finite_differences(generator: torch.Generator, activation: str) -> None:
    inputs, weights = draw(generator, (3, 4, 4, 2), 3)
    tensors = [tensor.double().requires_grad_() for tensor in (inputs, *weights)]
    assert torch.autograd.gradcheck(lambda x, *w: mlp(x, w, activation=activation, backend="torch"), tensors)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(32, 64, 64, 4), (5, 3), (24, 32, 1)])
def test_warp_agrees_with_torch_in_values_and_gradients(
    warp_backend: str, device: torch.device, generator: torch.Generator, activation: str, sizes: tuple[int, ...]
) -> None:
    inputs, weights = draw(generator, sizes, 300)
    grad = torch.randn(300, sizes[-1], generator=generator).to(device)
    results = []
    for name in (warp_backend, "torch"):
        tensors = [tensor.to(device).requires_grad_() for tensor in (inputs.clone(), *(w.clone() for w in weights))]
        outputs = mlp(tensors[0], tensors[1:], activation=activation, backend=name)
        results.append((outputs.detach(), *torch.autograd.grad(outputs, tensors, grad)))
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


def test_no_inputs_give_no_outputs_and_zero_gradients(backend: str, device: torch.device) -> None:
    weights = [torch.ones(8, 3, device=device, requires_grad=True), torch.ones(2, 8, device=device, requires_grad=True)]
    outputs = mlp(torch.zeros(0, 3, device=device), weights, backend=backend)
    outputs.sum().backward()
    assert outputs.shape == (0, 2)
    assert all(weight.grad is not None and not weight.grad.any() for weight in weights)


def test_half_precision_inputs_meet_float32_weights(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    inputs, weights = draw(generator, (4, 8, 2), 10)
    inputs, weights = inputs.bfloat16().to(device), [weight.to(device) for weight in weights]
    outputs = mlp(inputs, weights, backend=backend)
    torch.testing.assert_close(outputs, mlp(inputs.float(), weights, backend=backend))


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs of 3 features do not go through layers of shapes \[\(4, 2\)\]"):
        mlp(torch.zeros(1, 3), [torch.zeros(4, 2)])
    with pytest.raises(ValueError, match="do not go through layers"):
        mlp(torch.zeros(1, 3), [])


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="'swish' is not one of relu"):
        mlp(torch.zeros(1, 3), [torch.zeros(4, 3)], activation="swish")
