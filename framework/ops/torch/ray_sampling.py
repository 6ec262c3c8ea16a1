"""Ray sampling in plain torch: every ray is marched through the whole cube, and the occupied intervals are kept.

All arithmetic is single products and sums in float32, in an order that other implementations can repeat exactly.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.ops.ray_sampling import cube_interval, steps_across
from framework.structures.rays import Rays, RaySamples

_CANDIDATES_AT_ONCE = 1 << 21


@torch.no_grad()
def sample_occupied(
    rays: Rays,
    occupancy: Bool[Tensor, "R R R"],
    radius: float,
    step_length: float,
    near: float,
    jitter: Float[Tensor, "N"] | None,
    max_samples_per_ray: int,
) -> RaySamples:
    """See `framework.ops.ray_sampling.sample_occupied`."""
    num_steps = steps_across(radius, step_length)
    jitter = rays.origins.new_zeros(len(rays)) if jitter is None else jitter.float()
    rows, starts = [], []
    chunk = max(1, _CANDIDATES_AT_ONCE // num_steps)
    for first in range(0, len(rays), chunk):
        part = slice(first, first + chunk)
        begin, is_kept = _march(rays[part], occupancy, radius, step_length, near, jitter[part], num_steps)
        is_kept &= is_kept.cumsum(dim=1) <= max_samples_per_ray
        row, column = is_kept.nonzero(as_tuple=True)
        rows.append(row + first)
        starts.append(begin[row, column])
    ray_index = torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64, device=rays.device)
    begins = torch.cat(starts) if starts else rays.origins.new_zeros(0)
    counts = torch.bincount(ray_index, minlength=len(rays))
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(dim=0)])
    return RaySamples(ray_index, begins, begins + step_length, offsets)


def _march(
    rays: Rays, occupancy: Tensor, radius: float, step_length: float, near: float, jitter: Tensor, num_steps: int
) -> tuple[Float[Tensor, "N K"], Bool[Tensor, "N K"]]:
    """Beginning of every interval, and whether its middle lies in an occupied cell."""
    entry, leave = cube_interval(rays, radius, near)
    step = torch.arange(num_steps, device=rays.device, dtype=torch.float32)
    starts = entry[:, None] + (step + jitter[:, None]) * step_length  # (N, K)
    middles = starts + 0.5 * step_length
    resolution = len(occupancy)
    is_kept = middles < leave[:, None]
    cell = torch.zeros_like(starts, dtype=torch.int64)
    for axis in range(3):
        position = rays.origins[:, axis, None] + rays.directions[:, axis, None] * middles
        along = ((position + radius) * (0.5 * resolution / radius)).floor().clamp(0, resolution - 1)
        cell = cell * resolution + along.long()
    return starts, is_kept & occupancy.reshape(-1)[cell]
