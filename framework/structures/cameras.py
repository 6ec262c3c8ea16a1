"""Pinhole cameras.

World: right-handed, z up. Camera: OpenGL (x right, y up, looking along -z). Azimuth 0 looks at the front of the object
from +x and grows counter-clockwise seen from above; elevation grows towards +z. Angles are radians inside the program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.structures.rays import Rays
from framework.structures.record import TensorRecord


@dataclass(frozen=True, eq=False)
class Cameras(TensorRecord):
    """B pinhole cameras that share an image size.

    Attributes:
        camera_to_world: Rigid transforms, OpenGL camera axes.
        fov_y: Vertical field of view, radians.
        height, width: Image size, pixels.
        shift: Where the optical axis meets the image, right of and below its centre, pixels; None is the centre itself.
    """

    camera_to_world: Float[Tensor, "B 4 4"]
    fov_y: Float[Tensor, "B"]
    height: int
    width: int
    shift: Float[Tensor, "B 2"] | None = None

    @classmethod
    def orbit(
        cls,
        azimuth: Float[Tensor, "B"],
        elevation: Float[Tensor, "B"],
        distance: Float[Tensor, "B"],
        fov_y: Float[Tensor, "B"],
        *,
        height: int,
        width: int,
        target: Float[Tensor, "B 3"] | None = None,
    ) -> Cameras:
        """Cameras on spheres about `target` (the origin by default), looking at it with +z up."""
        direction = spherical_direction(azimuth, elevation)
        target = torch.zeros_like(direction) if target is None else target
        return cls(look_at(target + distance[:, None] * direction, target), fov_y, height, width)

    @property
    def positions(self) -> Float[Tensor, "B 3"]:
        """Centres of projection, world space."""
        return self.camera_to_world[:, :3, 3]

    @property
    def principal_points(self) -> Float[Tensor, "B 2"]:
        """Where the optical axis meets the image, right of and below its upper left corner, pixels."""
        centre = self.fov_y.new_tensor([0.5 * self.width, 0.5 * self.height])
        return centre.expand(len(self), 2) if self.shift is None else centre + self.shift

    def rays(self) -> Rays:
        """One ray through each pixel centre, as (B * height * width) rays in image order (row 0 is the top)."""
        device = self.device
        focal = 0.5 * self.height / torch.tan(0.5 * self.fov_y)  # (B,), pixels
        x = torch.arange(self.width, device=device) + 0.5 - 0.5 * self.width
        y = 0.5 * self.height - torch.arange(self.height, device=device) - 0.5
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")  # (H, W)
        pixels = torch.stack([grid_x, grid_y, torch.zeros_like(grid_x)], dim=-1)[None]
        if self.shift is not None:
            right, down = self.shift.unbind(dim=1)
            pixels = pixels - torch.stack([right, -down, torch.zeros_like(right)], dim=-1)[:, None, None]
        local = pixels / focal[:, None, None, None]
        local = local - torch.tensor([0.0, 0.0, 1.0], device=device)  # (B, H, W, 3)
        directions = torch.einsum("bij,bhwj->bhwi", self.camera_to_world[:, :3, :3], local)
        origins = self.positions[:, None, None, :].expand_as(directions)
        return Rays(origins.reshape(-1, 3).contiguous(), F.normalize(directions, dim=-1).reshape(-1, 3))

    def intrinsics(self) -> Float[Tensor, "B 3 3"]:
        """Pixel intrinsics in the OpenCV convention (x right, y down, pixel centres at half integers)."""
        focal = 0.5 * self.height / torch.tan(0.5 * self.fov_y)
        matrix = torch.zeros(len(self), 3, 3, device=self.device)
        matrix[:, 0, 0] = focal
        matrix[:, 1, 1] = focal
        matrix[:, :2, 2] = self.principal_points
        matrix[:, 2, 2] = 1.0
        return matrix

    def crop(self, top: int, left: int, height: int, width: int) -> Cameras:
        """Cameras whose images are that part of these cameras' images, pixel by pixel."""
        right, down = self.principal_points.unbind(dim=1)
        shift = torch.stack([right - left - 0.5 * width, down - top - 0.5 * height], dim=1)
        return Cameras(self.camera_to_world, self._fov_y_of(height), height, width, shift)

    def every(self, stride: int, *, row: int = 0, column: int = 0) -> Cameras:
        """Cameras that see one pixel of each `stride` rows and columns, from (row, column) on, along the same rays."""
        height, width = len(range(row, self.height, stride)), len(range(column, self.width, stride))
        first = self.fov_y.new_tensor([column + 0.5, row + 0.5])
        shift = (self.principal_points - first) / stride + 0.5 - 0.5 * self.fov_y.new_tensor([width, height])
        return Cameras(self.camera_to_world, self._fov_y_of(height * stride), height, width, shift)

    def _fov_y_of(self, height: int) -> Float[Tensor, "B"]:
        """Vertical field of view of so many rows of the image about the optical axis."""
        return 2.0 * torch.atan(height / self.height * torch.tan(0.5 * self.fov_y))

    def world_to_camera(self, convention: Literal["opengl", "opencv"] = "opengl") -> Float[Tensor, "B 4 4"]:
        """Inverse of `camera_to_world`, with the camera axes of `convention`."""
        rotation = self.camera_to_world[:, :3, :3].transpose(1, 2)
        matrix = torch.zeros_like(self.camera_to_world)
        matrix[:, :3, :3] = rotation
        matrix[:, :3, 3] = -(rotation @ self.positions[:, :, None])[:, :, 0]
        matrix[:, 3, 3] = 1.0
        if convention == "opencv":
            matrix[:, 1:3] = -matrix[:, 1:3]
        return matrix

    def projection(self, near: float, far: float) -> Float[Tensor, "B 4 4"]:
        """OpenGL clip-space projection of camera space, depth in [-1, 1] between `near` and `far`."""
        matrix = torch.zeros_like(self.camera_to_world)
        matrix[:, 1, 1] = 1.0 / torch.tan(0.5 * self.fov_y)
        matrix[:, 0, 0] = matrix[:, 1, 1] * self.height / self.width
        matrix[:, 2, 2] = -(far + near) / (far - near)
        matrix[:, 2, 3] = -2.0 * far * near / (far - near)
        matrix[:, 3, 2] = -1.0
        if self.shift is not None:
            matrix[:, 0, 2] = -2.0 * self.shift[:, 0] / self.width
            matrix[:, 1, 2] = 2.0 * self.shift[:, 1] / self.height
        return matrix


def spherical_direction(azimuth: Float[Tensor, "B"], elevation: Float[Tensor, "B"]) -> Float[Tensor, "B 3"]:
    """Unit vectors from the origin towards (azimuth, elevation), radians; (0, 0) is +x."""
    return torch.stack(
        [torch.cos(elevation) * torch.cos(azimuth), torch.cos(elevation) * torch.sin(azimuth), torch.sin(elevation)],
        dim=-1,
    )


def framing_distance(fov_y: Float[Tensor, "B"], framing: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """How far from the origin a camera stands whose view just holds a sphere of radius `framing` about it."""
    return framing / torch.sin(0.5 * fov_y)


def look_at(positions: Float[Tensor, "B 3"], targets: Float[Tensor, "B 3"]) -> Float[Tensor, "B 4 4"]:
    """Camera-to-world transforms at `positions` that look at `targets` with +z up.

    A camera straight above or below its target has +x of the world as its up direction instead.
    """
    backward = F.normalize(positions - targets, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0], device=positions.device).expand_as(backward)
    # By the horizontal part: the cosine of so small an angle is 1 in single precision.
    is_vertical = backward[:, :2].norm(dim=1, keepdim=True) < math.radians(0.01)
    up = torch.where(is_vertical, torch.tensor([1.0, 0.0, 0.0], device=positions.device), up)
    right = F.normalize(torch.linalg.cross(up, backward), dim=-1)
    matrix = torch.zeros(len(positions), 4, 4, device=positions.device)
    matrix[:, :3, 0] = right
    matrix[:, :3, 1] = torch.linalg.cross(backward, right)
    matrix[:, :3, 2] = backward
    matrix[:, :3, 3] = positions
    matrix[:, 3, 3] = 1.0
    return matrix
