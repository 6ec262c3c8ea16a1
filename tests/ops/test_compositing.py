"""Compositing of samples packed along rays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.ops.compositing import accumulate, composite, weights_only
from framework.structures.rays import RaySamples


def packed(
    counts: list[int], device: torch.device, *, step: float = 0.1, dtype: torch.dtype = torch.float32
) -> RaySamples:
    """Touching intervals from distance 1 on, so many for each ray."""
    numbers = torch.tensor(counts, dtype=torch.int64, device=device)
    offsets = torch.cat([numbers.new_zeros(1), numbers.cumsum(dim=0)])
    ray_index = torch.arange(len(counts), device=device).repeat_interleave(numbers)
    place = torch.arange(int(offsets[-1]), device=device) - offsets[ray_index]
    starts = 1.0 + step * place.to(dtype)
    return RaySamples(ray_index, starts, starts + step, offsets)


def draw(samples: RaySamples, channels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Densities and features."""
    count = len(samples.starts)
    density = 10.0 * torch.rand(count, generator=generator)
    return density.to(samples.starts.device), torch.randn(count, channels, generator=generator).to(
        samples.starts.device
    )


def results(density: Tensor, features: Tensor, samples: RaySamples, *, backend: str) -> tuple[Tensor, ...]:
    """Everything that compositing returns."""
    composed = composite(density, features, samples, backend=backend)
    return composed.weights, composed.opacity, composed.features, composed.depth


def test_constant_density_attenuates_exponentially(backend: str, device: torch.device) -> None:
    samples = packed([50, 0, 20], device)
    composed = composite(
        torch.full((70,), 0.7, device=device), torch.ones(70, 3, device=device), samples, backend=backend
    )
    expected = torch.tensor([1.0 - math.exp(-3.5), 0.0, 1.0 - math.exp(-1.4)], device=device)
    torch.testing.assert_close(composed.opacity, expected)
    torch.testing.assert_close(composed.features, expected[:, None].expand(3, 3))


def test_depth_of_constant_density_is_the_mean_of_the_exponential_law(backend: str, device: torch.device) -> None:
    samples = packed([4000], device, step=0.001)
    composed = composite(
        torch.full((4000,), 5.0, device=device), torch.ones(4000, 1, device=device), samples, backend=backend
    )
    assert abs(float(composed.depth) - (1.0 + 1.0 / 5.0)) < 1e-3


def test_an_opaque_sample_hides_everything_behind_it(backend: str, device: torch.device) -> None:
    samples = packed([4], device)
    density = torch.tensor([0.0, 1e6, 5.0, 5.0], device=device)
    features = torch.tensor([[1.0], [2.0], [3.0], [4.0]], device=device)
    composed = composite(density, features, samples, backend=backend)
    torch.testing.assert_close(composed.weights.cpu(), torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(composed.features.cpu(), torch.tensor([[2.0]]))
    torch.testing.assert_close(composed.depth.cpu(), torch.tensor([1.15]))


def test_faint_samples_keep_their_digits(backend: str, device: torch.device) -> None:
    density = torch.tensor([1e-9, 1e-4, 0.3, 0.5, 1.1], device=device)
    samples = packed([1] * 5, device, step=1.0)
    expected = -torch.expm1(-density.double())
    torch.testing.assert_close(weights_only(density, samples, backend=backend).double(), expected, rtol=1e-6, atol=0)


def test_a_ray_does_not_feel_what_other_rays_hold(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    samples = packed([3, 5, 4], device)
    density, _ = draw(samples, 1, generator)
    density[:3] = torch.tensor([math.nan, 1e30, math.inf])
    alone = weights_only(density[3:], packed([5, 4], device), backend=backend)
    assert torch.equal(weights_only(density, samples, backend=backend)[3:], alone)


def test_torch_gradients_agree_with_finite_differences(generator: torch.Generator) -> None:
    samples = packed([3, 0, 4], torch.device("cpu"), dtype=torch.float64)
    density, features = (tensor.double().requires_grad_() for tensor in draw(samples, 2, generator))

    def compose(density: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        return results(density, features, samples, backend="torch")

    assert torch.autograd.gradcheck(compose, (density, features))
    assert torch.autograd.gradgradcheck(compose, (density, features))


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_warp_agrees_with_torch_in_values_and_in_gradients_through_every_result(
    warp_backend: str, device: torch.device, generator: torch.Generator, channels: int
) -> None:
    counts = torch.randint(0, 40, (150,), generator=generator).tolist()
    samples = packed(counts, device)
    inputs = [tensor.requires_grad_() for tensor in draw(samples, channels, generator)]
    outputs = {name: results(*inputs, samples, backend=name) for name in (warp_backend, "torch")}
    grads = [torch.randn(output.shape, generator=generator).to(device) for output in outputs["torch"]]
    for place, grad in enumerate(grads):
        torch.testing.assert_close(outputs[warp_backend][place], outputs["torch"][place], rtol=1e-5, atol=1e-5)
        mine, reference = (
            torch.autograd.grad(outputs[name][place], inputs, grad, retain_graph=True, materialize_grads=True)
            for name in (warp_backend, "torch")
        )
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)


def test_accumulation_is_differentiable_in_weights_and_values(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    samples = packed([2, 0, 1], device)
    weights = torch.tensor([0.5, 0.25, 2.0], device=device, requires_grad=True)
    values = torch.tensor([[1.0, 2.0], [4.0, 8.0], [3.0, 5.0]], device=device, requires_grad=True)
    sums = accumulate(weights, values, samples, backend=backend)
    assert sums.tolist() == [[1.5, 3.0], [0.0, 0.0], [6.0, 10.0]]
    sums.sum().backward()
    assert weights.grad is not None and weights.grad.tolist() == [3.0, 12.0, 8.0]
    assert values.grad is not None and values.grad.tolist() == [[0.5, 0.5], [0.25, 0.25], [2.0, 2.0]]


@pytest.mark.parametrize("counts", [[], [0, 0, 0]])
def test_rays_without_samples_stay_dark_and_differentiable(
    backend: str, device: torch.device, counts: list[int]
) -> None:
    samples = packed(counts, device)
    density = torch.zeros(0, device=device, requires_grad=True)
    composed = composite(density, torch.zeros(0, 3, device=device), samples, backend=backend)
    assert composed.features.shape == (len(counts), 3)
    assert not composed.opacity.any() and not composed.depth.any() and not composed.features.any()
    (composed.opacity.sum() + composed.features.sum()).backward()
    assert density.grad is not None and density.grad.shape == (0,)


def test_half_precision_is_computed_as_float32(backend: str, device: torch.device, generator: torch.Generator) -> None:
    samples = packed([9, 8], device)
    density, features = (tensor.bfloat16() for tensor in draw(samples, 3, generator))
    half = results(density, features, samples, backend=backend)
    single = results(density.float(), features.float(), samples, backend=backend)
    assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(half, single, strict=True))


def test_autocast_does_not_lower_the_precision(backend: str, device: torch.device, generator: torch.Generator) -> None:
    samples = packed([9, 8], device)
    inputs = draw(samples, 3, generator)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        inside = results(*inputs, samples, backend=backend)
    outside = results(*inputs, samples, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


def test_cpu_results_are_bit_equal_whatever_the_number_of_threads(generator: torch.Generator) -> None:
    pytest.importorskip("warp", reason="Warp is not installed")
    samples = packed([20] * 2000, torch.device("cpu"))
    inputs = [tensor.requires_grad_() for tensor in draw(samples, 3, generator)]
    runs, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            outputs = results(*inputs, samples, backend="warp")
            runs.append((*outputs, *torch.autograd.grad(outputs[2].square().sum(), inputs)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in runs[1:] for a, b in zip(runs[0], other, strict=True))


def test_rows_that_do_not_match_the_samples_are_refused() -> None:
    samples = packed([2], torch.device("cpu"))
    with pytest.raises(ValueError, match="density has 3 rows for 2 samples"):
        composite(torch.zeros(3), torch.zeros(3, 1), samples)
