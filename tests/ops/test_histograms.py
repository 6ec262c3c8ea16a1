"""Histograms along rays: where edges are drawn, and what one histogram lets another weigh."""

from __future__ import annotations

import torch

from framework.ops.compositing import weights_only
from framework.ops.histograms import evenly_spaced, histogram_loss, outer_bound, redraw, weights_of_density
from framework.structures.rays import RaySamples


def random_histogram(rays: int, count: int, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges from 1 to 3, and weights."""
    generator = torch.Generator().manual_seed(seed)
    inner = torch.rand(rays, count - 1, generator=generator).sort(dim=1).values
    edges = 1.0 + 2.0 * torch.cat([torch.zeros(rays, 1), inner, torch.ones(rays, 1)], dim=1)
    return edges, torch.rand(rays, count, generator=generator)


def test_even_edges_keep_their_ends_whatever_the_jitter() -> None:
    start, end = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.5])
    plain = evenly_spaced(start, end, 4)
    torch.testing.assert_close(plain, torch.tensor([[1.0, 1.5, 2.0, 2.5, 3.0], [2.0, 2.125, 2.25, 2.375, 2.5]]))
    moved = evenly_spaced(start, end, 4, torch.tensor([0.5, 0.9]))
    torch.testing.assert_close(moved[0], plain[0])
    torch.testing.assert_close(moved[1], torch.tensor([2.0, 2.175, 2.3, 2.425, 2.5]))


def test_weights_of_a_dense_histogram_are_those_of_compositing() -> None:
    edges, density = random_histogram(5, 7, seed=0)
    samples = RaySamples.between(edges, torch.arange(5), num_rays=5)
    expected = weights_only(density.reshape(-1), samples, backend="torch").view(5, 7)
    torch.testing.assert_close(weights_of_density(density, edges), expected)


def test_samples_between_edges_leave_out_the_other_rays() -> None:
    samples = RaySamples.between(torch.tensor([[1.0, 2.0, 4.0], [0.0, 1.0, 1.5]]), torch.tensor([1, 3]), num_rays=5)
    assert samples.offsets.tolist() == [0, 0, 2, 2, 4, 4] and samples.ray_index.tolist() == [1, 1, 3, 3]
    assert samples.starts.tolist() == [1.0, 2.0, 0.0, 1.0] and samples.ends.tolist() == [2.0, 4.0, 1.0, 1.5]


def test_edges_are_drawn_at_even_steps_of_the_cumulative_weight() -> None:
    edges, weights = torch.tensor([[0.0, 1.0, 2.0, 4.0]]), torch.tensor([[1.0, 0.0, 3.0]])
    drawn = redraw(edges, weights + 1e-9, 5, torch.tensor([0.0]))
    # Quantiles 0, 1/4, 1/2, 3/4 between the ends.
    expected = torch.tensor([[0.0, 0.0, 1.0, 2.0 + 2.0 / 3.0, 2.0 + 4.0 / 3.0, 4.0]])
    assert torch.allclose(drawn[:, [0, 1, 3, 4, 5]], expected[:, [0, 1, 3, 4, 5]], atol=1e-5)
    assert 1.0 <= drawn[0, 2] <= 2.0  # anywhere in the interval without weight


def test_many_edges_are_distributed_as_the_weights() -> None:
    edges, weights = random_histogram(1, 12, seed=1)
    drawn = redraw(edges, weights, 20_000)[0, 1:-1].contiguous()
    inside = torch.searchsorted(edges[0].contiguous(), drawn, right=True) - 1
    shares = torch.bincount(inside, minlength=12) / len(drawn)
    torch.testing.assert_close(shares, (weights / weights.sum())[0], atol=1e-3, rtol=0.0)


def test_drawn_edges_ascend_from_the_first_to_the_last_and_rays_are_independent() -> None:
    edges, weights = random_histogram(6, 9, seed=2)
    jitter = torch.rand(6, generator=torch.Generator().manual_seed(3))
    drawn = redraw(edges, weights + 1e-4, 16, jitter)
    assert bool((drawn.diff(dim=1) >= 0.0).all()) and torch.equal(drawn[:, [0, -1]], edges[:, [0, -1]])
    alone = torch.cat([redraw(edges[i : i + 1], weights[i : i + 1] + 1e-4, 16, jitter[i : i + 1]) for i in range(6)])
    assert torch.equal(alone, drawn)


def test_the_bound_is_the_sum_of_all_weights_that_overlap() -> None:
    edges, (other, weights) = random_histogram(4, 6, seed=4)[0], random_histogram(4, 8, seed=5)
    overlaps = (other[:, None, :-1] < edges[:, 1:, None]) & (other[:, None, 1:] > edges[:, :-1, None])
    expected = (overlaps * weights[:, None]).sum(dim=2)
    torch.testing.assert_close(outer_bound(edges, other, weights), expected)


def test_a_histogram_bounds_its_own_refinement_and_the_loss_of_that_is_zero() -> None:
    edges, weights = random_histogram(4, 6, seed=6)
    middles = 0.5 * (edges[:, 1:] + edges[:, :-1])
    finer = torch.cat([edges, middles], dim=1).sort(dim=1).values
    halves = (0.5 * weights).repeat_interleave(2, dim=1)
    assert histogram_loss(halves, finer, weights, edges) < 1e-6
    assert histogram_loss(halves, finer, 0.4 * weights, edges) > 0.01


def test_the_loss_moves_the_bounding_histogram_alone_and_upwards_where_it_is_too_low() -> None:
    edges = torch.tensor([[0.0, 1.0, 2.0]])
    drawn = torch.tensor([[0.9, 0.0]], requires_grad=True)
    bound = torch.tensor([[0.1, 0.3]], requires_grad=True)
    loss = histogram_loss(drawn, edges, bound, edges)
    torch.testing.assert_close(loss, torch.tensor(0.8**2 / 0.9), atol=1e-5, rtol=0.0)
    loss.backward()
    assert drawn.grad is None and bound.grad is not None
    torch.testing.assert_close(bound.grad, torch.tensor([[-2.0 * 0.8 / 0.9, 0.0]]), atol=1e-4, rtol=0.0)
