"""Encodings as modules."""

from __future__ import annotations

import math

import pytest
import torch

from framework.networks.encodings import FrequencyEncoding, HashGridEncoding


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_grid(*, seed: int = 0) -> HashGridEncoding:
    return HashGridEncoding(
        num_levels=4, log2_table_size=8, base_resolution=4, per_level_scale=1.5, generator=seeded(seed), backend="torch"
    )


def test_the_initial_table_is_small_and_follows_the_generator() -> None:
    table = small_grid().table.detach()
    assert 0.9e-4 < float(table.abs().max()) <= 1e-4
    assert torch.equal(table, small_grid().table) and not torch.equal(table, small_grid(seed=1).table)


def test_levels_that_are_not_active_are_zero_and_get_no_gradient() -> None:
    encoding = small_grid()
    positions = torch.rand(6, 5, 3, generator=seeded(1))
    features = encoding(positions, active_levels=2)
    everything = encoding(positions)
    assert torch.equal(features[..., :4], everything[..., :4]) and not features[..., 4:].any()
    features.sum().backward()
    border = encoding.layout.offsets[2]
    assert encoding.table.grad is not None
    assert bool(encoding.table.grad[:border].any()) and not encoding.table.grad[border:].any()


@pytest.mark.parametrize("active_levels", [4, 9, None])
def test_more_active_levels_than_there_are_means_all(active_levels: int | None) -> None:
    positions = torch.rand(5, 3, generator=seeded(1))
    assert torch.equal(small_grid()(positions, active_levels=active_levels), small_grid()(positions))


def test_frequencies_double_from_pi_and_the_coordinates_come_first() -> None:
    encoding = FrequencyEncoding(1, num_frequencies=2)
    features = encoding(torch.tensor([[0.25], [0.5]]))
    root = math.sqrt(0.5)
    expected = torch.tensor([[0.25, root, 1.0, root, 0.0], [0.5, 1.0, 0.0, 0.0, -1.0]])
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)


def test_a_frequency_encoding_has_the_size_it_tells() -> None:
    encoding = FrequencyEncoding(3, num_frequencies=5)
    assert encoding(torch.zeros(2, 7, 3)).shape == (2, 7, encoding.output_dim)
