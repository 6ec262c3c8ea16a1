"""At which density the surface lies: where its silhouettes match what the volume renderer shows.

Distilled fields differ by orders of magnitude in how dense they grow, so no fixed value serves.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.export.isosurface import DensityGrid
from framework.geometry.silhouettes import ThresholdChoice, best_threshold
from framework.structures.rays import Rays
from framework.structures.views import Views

OPAQUE = 0.5
"""Opacity above which a pixel of the volume render belongs to the silhouette."""

_RAYS_AT_ONCE = 1 << 13


def silhouette_views(radius: float, *, size: int = 64, device: torch.device | str = "cpu") -> Views:
    """Eight views around the object that show all of a ball of `radius`.

    They look from the side and from above: objects are rarely trained from below, where fog may hang unseen.
    """
    azimuth = torch.arange(8, device=device) * (math.pi / 4.0)
    elevation = torch.tensor([0.0, math.radians(30.0)], device=device).repeat(4)
    distance = torch.full_like(azimuth, 3.0 * radius)
    fov_y = torch.full_like(azimuth, 2.0 * math.asin(1.05 / 3.0))
    return Views.orbit(azimuth, elevation, distance, fov_y, height=size, width=size)


@torch.no_grad()
def choose_threshold(grid: DensityGrid, views: Views, opacity: Float[Tensor, "B H W 1"]) -> ThresholdChoice:
    """The threshold whose silhouettes overlap most with the pixels of `opacity` above one half.

    Raises:
        UserError: If no pixel is opaque; says how far the field is from it and what to change.
    """
    is_opaque = opacity.reshape(-1) > OPAQUE
    peaks = highest_density(grid, views.cameras.rays())
    if not bool(is_opaque.any()) or peaks.max() <= 0.0:
        raise UserError(empty_field(grid, opacity))
    return best_threshold(peaks, is_opaque)


def highest_density(grid: DensityGrid, rays: Rays) -> Float[Tensor, "N"]:
    """The highest density that each ray meets inside the grid, sampled at every grid spacing."""
    center = -(rays.origins * rays.directions).sum(dim=-1)  # distance at which a ray passes closest to the origin
    half = math.sqrt(3.0) * grid.radius
    offsets = torch.linspace(-half, half, math.ceil(2.0 * half / grid.spacing) + 1, device=center.device)
    peaks = []
    for first in range(0, len(center), _RAYS_AT_ONCE):
        part = rays[first : first + _RAYS_AT_ONCE]
        distance = (center[first : first + _RAYS_AT_ONCE, None] + offsets).clamp_min(0.0)  # (n, S)
        positions = part.origins[:, None] + distance[..., None] * part.directions[:, None]
        peaks.append(grid.at(positions.reshape(-1, 3)).reshape(distance.shape).amax(dim=1))
    return torch.cat(peaks)


def empty_field(grid: DensityGrid, opacity: Float[Tensor, "B H W 1"]) -> str:
    """What to tell a user whose field shows nothing."""
    low, high = grid.values.min().item(), grid.values.max().item()
    return (
        f"There is nothing to export: the field's density lies between {low:.3g} and {high:.3g}, and the most opaque "
        f"pixel of {len(opacity)} views has an opacity of {opacity.max().item():.2f}, not above {OPAQUE}. Train "
        "longer, lower the weight of the sparsity loss, or set export.threshold to a density within that range."
    )
