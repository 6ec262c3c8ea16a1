"""Histograms along rays: R rays, each cut into as many intervals that touch, with a weight for each of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def evenly_spaced(
    start: Float[Tensor, "R"], end: Float[Tensor, "R"], count: int, jitter: Float[Tensor, "R"] | None = None
) -> Float[Tensor, "R edges"]:
    """The `count` + 1 edges of intervals from `start` to `end`.

    Args:
        jitter: In [0, 1), by which the inner edges of a ray are moved, from half an interval before to half an interval
            behind their places; one half leaves them there, as does None.
    """
    place = torch.arange(count + 1, device=start.device, dtype=start.dtype).expand(len(start), -1)
    if jitter is not None:
        place = torch.cat([place[:, :1], place[:, 1:-1] + (jitter[:, None] - 0.5), place[:, -1:]], dim=1)
    return start[:, None] + (end - start)[:, None] * place / count


def weights_of_density(
    density: Float[Tensor, "R intervals"], edges: Float[Tensor, "R edges"]
) -> Float[Tensor, "R intervals"]:
    """Share of each interval in the colour of its ray, as in `framework.ops.compositing`; differentiable in density."""
    optical = density * edges.diff(dim=1)
    before = optical.cumsum(dim=1) - optical
    return torch.exp(-before) * -torch.expm1(-optical)


@torch.no_grad()
def redraw(
    edges: Float[Tensor, "R edges"],
    weights: Float[Tensor, "R intervals"],
    count: int,
    jitter: Float[Tensor, "R"] | None = None,
) -> Float[Tensor, "R redrawn"]:
    """Edges of `count` intervals over the same rays, closer together where there is more weight.

    The ends stay. Between them, edge k is where the distribution that is constant in each interval and in proportion to
    its weight has reached (k + jitter) / (count - 1), so that nothing of a ray is left out.

    Args:
        weights: Positive.
        jitter: In [0, 1), of each ray; one half if None.
    """
    cumulative = torch.cat([weights.new_zeros(len(weights), 1), weights.cumsum(dim=1)], dim=1).double()
    cumulative = cumulative / cumulative[:, -1:]
    shift = 0.5 if jitter is None else jitter[:, None].double()
    inner = torch.arange(count - 1, device=edges.device).expand(len(edges), -1)
    target = (inner + shift) / max(1, count - 1)
    interval = (torch.searchsorted(cumulative, target, right=True) - 1).clamp(0, weights.shape[1] - 1)
    low, high = cumulative.gather(1, interval), cumulative.gather(1, interval + 1)
    share = ((target - low) / (high - low)).clamp(0.0, 1.0).to(edges.dtype)
    cuts = torch.lerp(edges.gather(1, interval), edges.gather(1, interval + 1), share)
    return torch.cat([edges[:, :1], cuts, edges[:, -1:]], dim=1)


def outer_bound(
    edges: Float[Tensor, "R edges"],
    other_edges: Float[Tensor, "R others"],
    other_weights: Float[Tensor, "R other_intervals"],
) -> Float[Tensor, "R intervals"]:
    """The most that a histogram lets each interval weigh: its weights of all intervals that overlap it.

    Differentiable in `other_weights` (mip-NeRF 360, arXiv:2111.12077, eq. 12).
    """
    cumulative = torch.cat([other_weights.new_zeros(len(edges), 1), other_weights.cumsum(dim=1)], dim=1)
    last = other_edges.shape[1] - 1
    first = (torch.searchsorted(other_edges, edges[:, :-1].contiguous(), right=True) - 1).clamp(0, last)
    end = torch.searchsorted(other_edges, edges[:, 1:].contiguous()).clamp(0, last)
    return cumulative.gather(1, end) - cumulative.gather(1, first)


def histogram_loss(
    weights: Float[Tensor, "R intervals"],
    edges: Float[Tensor, "R edges"],
    other_weights: Float[Tensor, "R other_intervals"],
    other_edges: Float[Tensor, "R others"],
) -> Float[Tensor, ""]:
    """Mean over rays of sum_i max(0, w_i - bound_i)^2 / w_i: zero if the other histogram bounds this one (eq. 13).

    `weights` are constants: the loss moves `other_weights` alone.
    """
    weights = weights.detach()
    excess = (weights - outer_bound(edges, other_edges, other_weights)).clamp(min=0.0)
    epsilon = torch.finfo(weights.dtype).eps
    return (excess.square() / (weights + epsilon)).sum() / max(1, len(weights))
