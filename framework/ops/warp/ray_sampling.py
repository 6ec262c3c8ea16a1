"""Ray sampling in Warp kernels: one walk along each ray counts its samples, a second one writes them.

The arithmetic is that of the torch implementation, operation by operation and without fused multiply-adds, so that both
keep exactly the same intervals.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import warp as wp
from jaxtyping import Bool, Float
from torch import Tensor

from framework.ops.ray_sampling import steps_across
from framework.ops.warp.launching import array, launch
from framework.structures.rays import Rays, RaySamples

wp.set_module_options({"enable_backward": False, "fuse_fp": False})

_SMALLEST_SLOPE = wp.constant(1e-12)


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
    num_rays, device = len(rays), rays.device
    num_steps = steps_across(radius, step_length)
    origins, directions = rays.origins.float().contiguous(), rays.directions.float().contiguous()
    jitter = origins.new_zeros(num_rays) if jitter is None else jitter.float().contiguous()
    grid = occupancy.contiguous()
    cells_per_unit = 0.5 * len(occupancy) / radius
    walk = [array(origins, wp.vec3), array(directions, wp.vec3), jitter, grid, radius, cells_per_unit]
    walk += [step_length, near, num_steps, max_samples_per_ray]

    offsets = torch.zeros(num_rays + 1, dtype=torch.int64, device=device)
    counts = offsets[1:]
    launch(_count, num_rays, [*walk, counts], device=device, work_per_item=num_steps)
    counts.copy_(counts.cumsum(dim=0))
    num_samples = int(offsets[-1])
    ray_index = torch.empty(num_samples, dtype=torch.int64, device=device)
    starts = origins.new_empty(num_samples)
    launch(_write, num_rays, [*walk, offsets, ray_index, starts], device=device, work_per_item=num_steps)
    return RaySamples(ray_index, starts, starts + step_length, offsets)


@no_type_check
@wp.func
def _safe(slope: wp.float32):
    if wp.abs(slope) < _SMALLEST_SLOPE:
        slope = _SMALLEST_SLOPE
    return slope


@no_type_check
@wp.func
def _cube_interval(origin: wp.vec3, direction: wp.vec3, radius: wp.float32, near: wp.float32):
    """Distances at which a ray enters the cube, or passes `near`, and leaves it."""
    entry = near
    leave = wp.float32(wp.inf)
    for axis in range(3):
        slope = _safe(direction[axis])
        low = (-radius - origin[axis]) / slope
        high = (radius - origin[axis]) / slope
        entry = wp.max(entry, wp.min(low, high))
        leave = wp.min(leave, wp.max(low, high))
    return wp.vec2(entry, leave)


@no_type_check
@wp.func
def _cell(position: wp.float32, radius: wp.float32, cells_per_unit: wp.float32, resolution: wp.int32):
    return wp.clamp(wp.int32(wp.floor((position + radius) * cells_per_unit)), 0, resolution - 1)


@no_type_check
@wp.func
def _is_occupied(
    origin: wp.vec3,
    direction: wp.vec3,
    distance: wp.float32,
    grid: wp.array3d(dtype=wp.bool),
    radius: wp.float32,
    cells_per_unit: wp.float32,
):
    position = origin + direction * distance
    resolution = grid.shape[0]
    x = _cell(position[0], radius, cells_per_unit, resolution)
    y = _cell(position[1], radius, cells_per_unit, resolution)
    z = _cell(position[2], radius, cells_per_unit, resolution)
    return grid[x, y, z]


@no_type_check
@wp.kernel
def _count(
    first: wp.int32,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    jitter: wp.array(dtype=wp.float32),
    grid: wp.array3d(dtype=wp.bool),
    radius: wp.float32,
    cells_per_unit: wp.float32,
    step_length: wp.float32,
    near: wp.float32,
    num_steps: wp.int32,
    max_samples: wp.int32,
    counts: wp.array(dtype=wp.int64),
):
    ray = first + wp.tid()
    origin = origins[ray]
    direction = directions[ray]
    interval = _cube_interval(origin, direction, radius, near)
    count = wp.int32(0)
    for step in range(num_steps):
        start = interval[0] + (wp.float32(step) + jitter[ray]) * step_length
        middle = start + 0.5 * step_length
        if middle >= interval[1] or count == max_samples:
            break
        if _is_occupied(origin, direction, middle, grid, radius, cells_per_unit):
            count += 1
    counts[ray] = wp.int64(count)


@no_type_check
@wp.kernel
def _write(
    first: wp.int32,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    jitter: wp.array(dtype=wp.float32),
    grid: wp.array3d(dtype=wp.bool),
    radius: wp.float32,
    cells_per_unit: wp.float32,
    step_length: wp.float32,
    near: wp.float32,
    num_steps: wp.int32,
    max_samples: wp.int32,
    offsets: wp.array(dtype=wp.int64),
    ray_index: wp.array(dtype=wp.int64),
    starts: wp.array(dtype=wp.float32),
):
    ray = first + wp.tid()
    origin = origins[ray]
    direction = directions[ray]
    interval = _cube_interval(origin, direction, radius, near)
    sample = wp.int32(offsets[ray])
    last = wp.int32(offsets[ray + 1])
    for step in range(num_steps):
        if sample == last:
            break
        start = interval[0] + (wp.float32(step) + jitter[ray]) * step_length
        middle = start + 0.5 * step_length
        if _is_occupied(origin, direction, middle, grid, radius, cells_per_unit):
            ray_index[sample] = wp.int64(ray)
            starts[sample] = start
            sample += 1
