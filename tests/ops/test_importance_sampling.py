"""Importance sampling: draws follow the weights, and cut samples cover what the samples covered."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from framework.ops.importance_sampling import refine
from framework.structures.rays import RaySamples


def packed(*rays: tuple[list[float], float]) -> RaySamples:
    """Samples from their beginnings and their length, ray by ray."""
    starts = torch.cat([torch.tensor(begins) for begins, _ in rays])
    lengths = torch.cat([torch.full((len(begins),), length) for begins, length in rays])
    counts = torch.tensor([len(begins) for begins, _ in rays])
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    return RaySamples(torch.arange(len(rays)).repeat_interleave(counts), starts, starts + lengths, offsets)


def cuts(refined: RaySamples, samples: RaySamples) -> Tensor:
    """Beginnings that are new."""
    return torch.tensor([start for start in refined.starts.tolist() if start not in samples.starts.tolist()])


def test_draws_stand_where_the_cumulative_distribution_is_evenly_spaced() -> None:
    samples = packed(([1.0, 2.0, 5.0], 1.0))
    refined = refine(samples, torch.tensor([0.25, 0.0, 0.75]), count=4, jitter=torch.tensor([0.2]))
    # Quantiles 0.05, 0.3, 0.55, 0.8: one in the first interval, three in the last.
    expected = [1.0 + 0.05 / 0.25, 5.0 + 0.05 / 0.75, 5.0 + 0.3 / 0.75, 5.0 + 0.55 / 0.75]
    torch.testing.assert_close(cuts(refined, samples), torch.tensor(expected), atol=1e-4, rtol=0.0)


def test_many_draws_are_distributed_as_the_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(40, generator=generator)
    samples = packed(([0.1 * k for k in range(40)], 0.1))
    refined = refine(samples, weights, count=20_000)
    counts = torch.histogram(cuts(refined, samples), bins=40, range=(0.0, 4.0)).hist
    torch.testing.assert_close(counts / 20_000, weights / weights.sum(), atol=1e-3, rtol=0.0)


def test_cut_samples_cover_the_same_intervals_in_order_without_gaps() -> None:
    samples = packed(([1.0, 1.5, 4.0], 0.5), ([], 0.5), ([2.0], 0.5), ([], 0.5))
    refined = refine(samples, torch.tensor([0.1, 0.5, 0.2, 0.0]), count=7)
    assert refined.offsets.tolist() == [0, 10, 10, 18, 18]
    assert refined.ray_index.tolist() == [0] * 10 + [2] * 8
    assert bool((refined.lengths >= 0.0).all())
    for index, (begin, end) in enumerate(zip(samples.starts, samples.ends, strict=True)):
        ray = samples.ray_index[index]
        is_part = (refined.ray_index == ray) & (refined.starts >= begin) & (refined.ends <= end + 1e-6)
        parts = refined.starts[is_part], refined.ends[is_part]
        assert parts[0][0] == begin and parts[1][-1] == end and torch.equal(parts[0][1:], parts[1][:-1])


def test_rays_do_not_depend_on_each_other() -> None:
    generator = torch.Generator().manual_seed(1)
    rays = [([float(k) for k in range(4)], 1.0), ([2.0, 3.0], 0.5), ([0.5, 1.5, 7.0], 0.25)]
    weights, jitter = torch.rand(9, generator=generator), torch.rand(3, generator=generator)
    together = refine(packed(*rays), weights, count=5, jitter=jitter)
    for index, part in enumerate(weights.split([4, 2, 3])):
        alone = refine(packed(rays[index]), part, count=5, jitter=jitter[index : index + 1])
        here = slice(int(together.offsets[index]), int(together.offsets[index + 1]))
        torch.testing.assert_close(together.starts[here], alone.starts)
        torch.testing.assert_close(together.ends[here], alone.ends)


def test_a_thin_shell_that_one_interval_hints_at_gets_nearly_all_draws() -> None:
    samples = packed(([float(k) for k in range(100)], 1.0))
    weights = torch.zeros(100)
    weights[37] = 0.01
    drawn = cuts(refine(samples, weights, count=64), samples)
    assert ((drawn > 37.0) & (drawn < 38.0)).float().mean() > 0.85


def test_where_nothing_has_weight_draws_are_even() -> None:
    samples = packed(([0.0, 1.0, 2.0, 3.0], 1.0))
    refined = refine(samples, torch.zeros(4), count=8)
    torch.testing.assert_close(cuts(refined, samples), torch.arange(8) / 2.0 + 0.25)


def test_no_samples_are_no_trouble() -> None:
    refined = refine(packed(([], 1.0), ([], 1.0)), torch.zeros(0), count=3)
    assert len(refined.starts) == 0 and refined.offsets.tolist() == [0, 0, 0]


def test_arguments_that_do_not_fit_are_refused() -> None:
    samples = packed(([0.0, 1.0], 1.0))
    with pytest.raises(ValueError, match="count must be positive, got 0"):
        refine(samples, torch.ones(2), count=0)
    with pytest.raises(ValueError, match="3 weights do not fit 2 samples"):
        refine(samples, torch.ones(3), count=1)
    with pytest.raises(ValueError, match="2 jitters do not fit 1 rays"):
        refine(samples, torch.ones(2), count=1, jitter=torch.ones(2))
