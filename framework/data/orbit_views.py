"""Cameras evenly spaced around the object: what progress images and turntables are seen from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from framework.core.registries import STREAMS
from framework.core.step import StepInfo
from framework.data.base import ViewStream
from framework.structures.views import Views


@STREAMS.register("orbit-views")
class OrbitViews(ViewStream):
    """Cameras on a circle about the vertical axis, at equal steps of azimuth, under plain ambient light."""

    @dataclass(kw_only=True, frozen=True)
    class Config(ViewStream.Config):
        num_views: int = 4
        """Views on the circle."""
        start_azimuth_deg: float = 0.0
        """Azimuth of the first view; 0 is the front."""
        elevation_deg: float = 15.0
        """Elevation of all views."""
        distance: float = 2.7
        """Distance of the cameras from the origin, world units."""
        fov_y_deg: float = 45.0
        """Vertical field of view."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.num_views < 1 or self.distance <= 0.0:
                sizes = f"{self.num_views} and {self.distance:g}"
                raise ValueError(f"num_views and distance must be positive, got {sizes}.")
            if not (-90.0 <= self.elevation_deg <= 90.0 and 1.0 <= self.fov_y_deg <= 170.0):
                raise ValueError(
                    "elevation_deg must lie in [-90, 90] and fov_y_deg in [1, 170], "
                    f"got {self.elevation_deg:g} and {self.fov_y_deg:g}."
                )

    config: Config

    def sample(self, step: StepInfo, device: torch.device) -> Views:
        """The whole circle, in every step."""
        return self.views(self.config.num_views, device)

    def views(self, count: int, device: torch.device | str = "cpu") -> Views:
        """`count` views on the circle, beginning at the first azimuth, counter-clockwise seen from above."""
        config = self.config
        azimuth = torch.arange(count, device=device) * (2.0 * math.pi / count) + math.radians(config.start_azimuth_deg)
        return Views.orbit(
            azimuth,
            torch.full_like(azimuth, math.radians(config.elevation_deg)),
            torch.full_like(azimuth, config.distance),
            torch.full_like(azimuth, math.radians(config.fov_y_deg)),
            height=config.height,
            width=config.width,
        )
