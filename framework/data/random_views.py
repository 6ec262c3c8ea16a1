"""Random cameras and lights about the origin: what a scene is trained from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import STREAMS
from framework.core.schedule import Constant, Schedule
from framework.core.step import StepInfo
from framework.data.base import ViewStream
from framework.structures.cameras import framing_distance, spherical_direction
from framework.structures.views import Lights, Views


@STREAMS.register("random-views")
class RandomViews(ViewStream):
    """Random cameras that look at the origin, each with a random point light."""

    @dataclass(kw_only=True, frozen=True)
    class Config(ViewStream.Config):
        batch_size: Schedule = Constant(1.0)
        """Views a step, rounded to a whole number."""
        azimuth_range_deg: tuple[float, float] = (-180.0, 180.0)
        """Azimuths, 0 being the front; a batch covers the range in equal strata."""
        elevation_range_deg: tuple[float, float] = (-10.0, 45.0)
        """Elevations, 90 being straight above."""
        framing_range: tuple[float, float] = (1.0, 1.06)
        """Radius of the sphere about the origin that just fits into the view, world units; sets the camera's distance. A
        narrow range lets a prior that is not told the camera agree with itself on the object's size."""
        fov_y_range_deg: tuple[float, float] = (40.0, 50.0)
        """Vertical fields of view."""
        light_spread: float = 0.5
        """Standard deviation of the light's direction about the camera's, before normalisation; 0 is a headlight."""
        light_distance_range: tuple[float, float] = (3.0, 5.0)
        """Distances of the light from the origin, world units."""
        ambient_range: tuple[float, float] = (0.3, 0.7)
        """Shares of ambient light; the rest is diffuse."""
        ambient_only_probability: Schedule = Constant(0.2)
        """Share of views that show plain albedo."""
        textureless_probability: Schedule = Constant(0.0)
        """Share of the other views that show lit white albedo, so that shape alone explains the image."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.batch_size.bounds()[0] < 1:
                raise ValueError(f"batch_size must stay at 1 or more, got {self.batch_size.bounds()[0]:g}.")
            if self.light_spread < 0.0:
                raise ValueError(f"light_spread must not be negative, got {self.light_spread:g}.")
            _check_range("azimuth_range_deg", self.azimuth_range_deg, -720.0, 720.0)
            _check_range("elevation_range_deg", self.elevation_range_deg, -90.0, 90.0)
            _check_range("framing_range", self.framing_range, 1e-3, math.inf)
            _check_range("fov_y_range_deg", self.fov_y_range_deg, 1.0, 170.0)
            _check_range("light_distance_range", self.light_distance_range, 1e-3, math.inf)
            _check_range("ambient_range", self.ambient_range, 0.0, 1.0)
            _check_range("ambient_only_probability", self.ambient_only_probability.bounds(), 0.0, 1.0)
            _check_range("textureless_probability", self.textureless_probability.bounds(), 0.0, 1.0)

    config: Config

    def sample(self, step: StepInfo, device: torch.device) -> Views:
        """The views of `step`; equal steps yield equal views."""
        config, count = self.config, round(self.config.batch_size(step))
        generator, total = step.batch_generator(f"stream.{self.name}", device), step.rows(count)
        # One draw of fixed width for each view, whatever is made of it, keeps the sequence independent of settings.
        all_draws = torch.rand(total, 8, generator=generator, device=device)
        scatter = step.own(torch.randn(total, 3, generator=generator, device=device)) * config.light_spread
        strata = step.own((torch.arange(total, device=device) + all_draws[:, 0]) / total)
        draws = step.own(all_draws).unbind(dim=1)
        azimuth = torch.deg2rad(_between(strata, config.azimuth_range_deg))
        elevation = torch.deg2rad(_between(draws[1], config.elevation_range_deg))
        fov_y = torch.deg2rad(_between(draws[3], config.fov_y_range_deg))
        direction = spherical_direction(azimuth, elevation)
        toward_light = F.normalize(direction + scatter, dim=1)
        lights = self._lights(toward_light * _between(draws[4], config.light_distance_range)[:, None], draws[5:], step)
        return Views.orbit(
            azimuth,
            elevation,
            framing_distance(fov_y, _between(draws[2], config.framing_range)),
            fov_y,
            height=config.height,
            width=config.width,
            lights=lights,
        )

    def _lights(self, positions: Float[Tensor, "B 3"], draws: tuple[Tensor, ...], step: StepInfo) -> Lights:
        ambient = _between(draws[0], self.config.ambient_range)
        is_plain = draws[1] < self.config.ambient_only_probability(step)
        is_textureless = (draws[2] < self.config.textureless_probability(step)) & ~is_plain
        return Lights(
            positions,
            ambient=torch.where(is_plain, 1.0, ambient),
            diffuse=torch.where(is_plain, 0.0, 1.0 - ambient),
            is_textureless=is_textureless,
        )


def _between(share: Float[Tensor, "B"], ends: tuple[float, float]) -> Float[Tensor, "B"]:
    low, high = ends
    return low + (high - low) * share


def _check_range(name: str, ends: tuple[float, float], low: float, high: float) -> None:
    if not low <= ends[0] <= ends[1] <= high:
        raise ValueError(f"{name} must ascend and lie in [{low:g}, {high:g}], got {ends[0]:g} to {ends[1]:g}.")
