"""The camera as seven numbers, for denoisers that are told where an image was taken from.

sin and cos of the azimuth, sin and cos of the elevation, vertical field of view (radians), distance (world units), and 1
for "known"; all zeros where the camera is not told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.views import Views

CAMERA_DIM = 7
AZIMUTH = (0, 1)
"""Where the vector holds sin and cos of the azimuth."""
NEAR, FAR = 0.1, 100.0
"""Ends of the view frustum in matrices that project, world units."""


def camera_vector(
    azimuth: Float[Tensor, "B"], elevation: Float[Tensor, "B"], fov_y: Float[Tensor, "B"], distance: Float[Tensor, "B"]
) -> Float[Tensor, "B 7"]:
    """The vector of known cameras; angles in radians. Multiply by 0 to withhold one."""
    return torch.stack(
        [azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos(), fov_y, distance, torch.ones_like(distance)],
        dim=-1,
    )


@dataclass(frozen=True)
class CameraEncoding:
    """One way to tell a denoiser a camera: a vector for each view, zeros where it is withheld."""

    dim: int
    """Length of the vector."""
    encode: Callable[[Views], Float[Tensor, "B D"]]
    """The vectors of views."""


def _angles(views: Views) -> Float[Tensor, "B 7"]:
    return camera_vector(views.azimuth, views.elevation, views.cameras.fov_y, views.distance)


def _extrinsics(views: Views) -> Float[Tensor, "B 16"]:
    return views.cameras.camera_to_world.flatten(1)


def _projection(views: Views) -> Float[Tensor, "B 16"]:
    cameras = views.cameras
    return (cameras.projection(NEAR, FAR) @ cameras.world_to_camera()).flatten(1)


def _spherical(views: Views) -> Float[Tensor, "B 4"]:
    return torch.stack([views.elevation, views.azimuth.sin(), views.azimuth.cos(), views.distance], dim=-1)


CAMERA_ENCODINGS = {
    "angles": CameraEncoding(CAMERA_DIM, _angles),
    "extrinsics": CameraEncoding(16, _extrinsics),
    "projection": CameraEncoding(16, _projection),
    "spherical": CameraEncoding(4, _spherical),
}
"""By name: the seven numbers above, the camera-to-world matrix, the matrix from world to clip space, and elevation, sine
and cosine of the azimuth, distance."""
