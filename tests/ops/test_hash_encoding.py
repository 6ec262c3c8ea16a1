"""Hash encoding: closed forms, gradients, and every implementation against torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from framework.ops.hash_encoding import HashGridLayout, hash_encoding

SMALL = HashGridLayout(num_levels=5, features_per_level=2, log2_table_size=9, base_resolution=4, per_level_scale=1.6)
ONE_DENSE = HashGridLayout(num_levels=1, features_per_level=2, log2_table_size=15, base_resolution=17)
ONE_HASHED = HashGridLayout(num_levels=1, features_per_level=1, log2_table_size=10, base_resolution=65)


def draw(layout: HashGridLayout, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions in the unit cube and a table."""
    table = torch.randn(layout.num_entries, layout.features_per_level, generator=generator)
    return torch.rand(count, 3, generator=generator), table


def gradients(
    positions: Tensor, table: Tensor, layout: HashGridLayout, grad: Tensor, *, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, and the gradients in positions and table."""
    positions, table = positions.clone().requires_grad_(), table.clone().requires_grad_()
    features = hash_encoding(positions, table, layout, backend=backend)
    return features.detach(), *torch.autograd.grad(features, (positions, table), grad)


def test_sizes_follow_the_published_definition() -> None:
    layout = HashGridLayout(
        num_levels=3, features_per_level=2, log2_table_size=14, base_resolution=15, per_level_scale=1.5
    )
    assert layout.scales == (14.0, 21.5, 32.75)
    assert layout.resolutions == (15, 23, 34)
    assert layout.sizes == (3376, 12168, 16384)  # 15^3 and 23^3 to multiples of 8; 34^3 does not fit
    assert layout.offsets == (0, 3376, 15544, 31928)
    assert [layout.is_dense(level) for level in range(3)] == [True, True, False]
    assert layout.output_dim == 6


def test_a_layout_refuses_sizes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        HashGridLayout(num_levels=0)
    with pytest.raises(ValueError, match="per_level_scale"):
        HashGridLayout(per_level_scale=0.5)


def test_a_dense_level_interpolates_an_affine_function_exactly(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    side, scale = ONE_DENSE.resolutions[0], ONE_DENSE.scales[0]
    z, y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 3, indexing="ij")  # x varies fastest
    places = (torch.stack([x, y, z], dim=-1).reshape(-1, 3) - 0.5) / scale
    slopes = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], dtype=torch.float64)
    table = torch.zeros(ONE_DENSE.num_entries, 2)
    table[: len(places)] = (places @ slopes.T + 0.25).float()
    positions = 0.02 + 0.94 * torch.rand(500, 3, generator=generator)
    features, grad_positions, _ = gradients(
        positions.to(device), table.to(device), ONE_DENSE, torch.ones(500, 2, device=device), backend=backend
    )
    torch.testing.assert_close(features.cpu(), (positions.double() @ slopes.T + 0.25).float(), rtol=0, atol=2e-6)
    torch.testing.assert_close(grad_positions.cpu(), slopes.sum(dim=0).float().expand(500, 3), rtol=0, atol=2e-4)


def test_a_grid_point_of_a_hashed_level_reads_the_entry_of_its_hash(backend: str, device: torch.device) -> None:
    table = torch.arange(ONE_HASHED.num_entries, dtype=torch.float32)[:, None]
    points = [(1, 0, 0), (0, 1, 0), (3, 17, 40), (63, 62, 61)]
    hashes = [(x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)) % 1024 for x, y, z in points]
    positions = (torch.tensor(points) - 0.5) / ONE_HASHED.scales[0]
    features = hash_encoding(positions.to(device), table.to(device), ONE_HASHED, backend=backend)
    torch.testing.assert_close(features[:, 0].cpu(), torch.tensor(hashes, dtype=torch.float32), rtol=0, atol=0.05)


def test_torch_gradients_and_second_derivatives_agree_with_finite_differences(generator: torch.Generator) -> None:
    layout = HashGridLayout(
        num_levels=2, features_per_level=2, log2_table_size=5, base_resolution=3, per_level_scale=2.0
    )
    positions, table = (tensor.double().requires_grad_() for tensor in draw(layout, 4, generator))

    def encode(positions: Tensor, table: Tensor) -> Tensor:
        return hash_encoding(positions, table, layout, backend="torch")

    assert torch.autograd.gradcheck(encode, (positions, table), eps=1e-7)
    assert torch.autograd.gradgradcheck(encode, (positions, table), eps=1e-7)


@pytest.mark.parametrize("features_per_level", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 700])
def test_warp_agrees_with_torch_in_values_and_gradients(
    warp_backend: str, device: torch.device, generator: torch.Generator, features_per_level: int, count: int
) -> None:
    layout = HashGridLayout(
        num_levels=5, features_per_level=features_per_level, log2_table_size=9, base_resolution=4, per_level_scale=1.6
    )
    positions, table = draw(layout, count, generator)
    positions[:1] = 1.0  # the corner of the cube, whose cell reaches beyond the grid
    grad = torch.randn(count, layout.output_dim, generator=generator)
    tensors = [tensor.to(device) for tensor in (positions, table)]
    mine = gradients(*tensors, layout, grad.to(device), backend=warp_backend)
    reference = gradients(*tensors, layout, grad.to(device), backend="torch")
    for value, expected in zip(mine, reference, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


def test_cpu_results_are_bit_equal_whatever_the_number_of_threads(generator: torch.Generator) -> None:
    pytest.importorskip("warp", reason="Warp is not installed")
    positions, table = draw(SMALL, 5000, generator)
    grad = torch.randn(5000, SMALL.output_dim, generator=generator)
    results, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3, 3):
            torch.set_num_threads(count)
            results.append(gradients(positions, table, SMALL, grad, backend="warp"))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_no_positions_give_no_features_and_a_zero_gradient(backend: str, device: torch.device) -> None:
    table = torch.ones(SMALL.num_entries, 2, device=device, requires_grad=True)
    features = hash_encoding(torch.zeros(0, 3, device=device), table, SMALL, backend=backend)
    features.sum().backward()
    assert features.shape == (0, 10)
    assert table.grad is not None and not table.grad.any()


def test_positions_outside_the_cube_read_and_write_within_the_table(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    positions, table = draw(SMALL, 200, generator)
    grad = torch.ones(200, SMALL.output_dim, device=device)
    outside = (20.0 * positions - 10.0).to(device)
    results = gradients(outside, table.to(device), SMALL, grad, backend=backend)
    assert all(result.isfinite().all() for result in results)


def test_half_precision_is_computed_as_float32(backend: str, device: torch.device, generator: torch.Generator) -> None:
    positions, table = (tensor.bfloat16().to(device) for tensor in draw(SMALL, 50, generator))
    features = hash_encoding(positions, table, SMALL, backend=backend)
    assert features.dtype == torch.float32
    assert torch.equal(features, hash_encoding(positions.float(), table.float(), SMALL, backend=backend))


def test_autocast_does_not_lower_the_precision(backend: str, device: torch.device, generator: torch.Generator) -> None:
    positions, table = (tensor.to(device) for tensor in draw(SMALL, 50, generator))
    with torch.autocast(device.type, dtype=torch.bfloat16):
        features = hash_encoding(positions, table, SMALL, backend=backend)
    assert torch.equal(features, hash_encoding(positions, table, SMALL, backend=backend))


def test_warp_refuses_second_derivatives(warp_backend: str, device: torch.device, generator: torch.Generator) -> None:
    positions, table = (tensor.to(device).requires_grad_() for tensor in draw(SMALL, 5, generator))
    features = hash_encoding(positions, table, SMALL, backend=warp_backend)
    with pytest.raises(RuntimeError, match=r"differentiable once.*Set backends\.hash-encoding to 'torch'"):
        torch.autograd.grad(features.sum(), positions, create_graph=True)


def test_a_table_of_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the table is \(7, 2\), but the layout prescribes"):
        hash_encoding(torch.zeros(1, 3), torch.zeros(7, 2), SMALL)
