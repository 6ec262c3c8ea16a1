"""The camera as seven numbers, for denoisers that are told where an image was taken from.

sin and cos of the azimuth, sin and cos of the elevation, vertical field of view (radians), distance (world units), and 1
for "known"; all zeros where the camera is not told.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

CAMERA_DIM = 7


def camera_vector(
    azimuth: Float[Tensor, "B"], elevation: Float[Tensor, "B"], fov_y: Float[Tensor, "B"], distance: Float[Tensor, "B"]
) -> Float[Tensor, "B 7"]:
    """The vector of known cameras; angles in radians. Multiply by 0 to withhold one."""
    return torch.stack(
        [azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos(), fov_y, distance, torch.ones_like(distance)],
        dim=-1,
    )
