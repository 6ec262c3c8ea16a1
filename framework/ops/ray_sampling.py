"""Uniform samples along rays, where an occupancy grid says that there may be something."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.ops.backends import AUTO, load
from framework.structures.rays import Rays, RaySamples

_SMALLEST_SLOPE = 1e-12


def sample_occupied(
    rays: Rays,
    occupancy: Bool[Tensor, "R R R"],
    *,
    radius: float,
    step_length: float,
    near: float = 0.0,
    jitter: Float[Tensor, "N"] | None = None,
    max_samples_per_ray: int,
    backend: str = AUTO,
) -> RaySamples:
    """Intervals of equal length along rays, without those whose middle lies in an empty cell.

    Interval k of a ray begins at `entry + (k + jitter) * step_length`, where the ray enters the cube
    [-radius, radius]^3 or passes `near`; intervals whose middle lies beyond the cube are left out. Not differentiable.

    Args:
        occupancy: Cells of the cube that may hold something, indexed [x, y, z].
        radius: Half side of the cube, world units.
        step_length: Length of an interval, world units.
        near: Distance along the ray before which nothing is sampled, world units.
        jitter: Offset of the first interval of each ray, in steps, in [0, 1); zero if None.
        max_samples_per_ray: Each ray keeps its first so many occupied intervals.

    Raises:
        ValueError: If a length is not positive or the numbers of rays and of jitters differ.
    """
    if not (radius > 0.0 and step_length > 0.0 and max_samples_per_ray > 0):
        raise ValueError(
            "sample_occupied: needs positive radius, step_length and max_samples_per_ray, "
            f"not {radius}, {step_length} and {max_samples_per_ray}."
        )
    if jitter is not None and len(jitter) != len(rays):
        raise ValueError(f"sample_occupied: {len(jitter)} jitters do not fit {len(rays)} rays.")
    implementation = load("ray-sampling", rays.device, backend)
    return implementation.sample_occupied(rays, occupancy, radius, step_length, near, jitter, max_samples_per_ray)


def steps_across(radius: float, step_length: float) -> int:
    """Most intervals of `step_length` that a ray can have within the cube of half side `radius`."""
    return math.ceil(2.0 * math.sqrt(3.0) * radius / step_length) + 1


def cube_interval(rays: Rays, radius: float, near: float) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Distances at which rays enter the cube, or pass `near`, and leave it; entry >= leave where they miss it."""
    slope = torch.where(rays.directions.abs() < _SMALLEST_SLOPE, _SMALLEST_SLOPE, rays.directions)
    low, high = (-radius - rays.origins) / slope, (radius - rays.origins) / slope
    entry = torch.minimum(low, high).amax(dim=1).clamp(min=near)
    return entry, torch.maximum(low, high).amin(dim=1)
