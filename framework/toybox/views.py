"""From where, in which light and on which background toybox scenes are seen.

The record of these distributions is kept with the weights that were trained on them, and a 3D field that is distilled
from those weights is best rendered likewise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.structures.cameras import Cameras, framing_distance, spherical_direction
from framework.structures.record import TensorRecord
from framework.toybox.tracing import Lights


@dataclass(frozen=True, eq=False)
class ToyViews(TensorRecord):
    """B views of the origin.

    Attributes:
        cameras: The cameras.
        azimuth, elevation: Where they stand, radians; azimuth in [-pi, pi), 0 in front.
        distance: From the origin, world units.
        lights: One light each.
        background: sRGB values in [0, 1].
    """

    cameras: Cameras
    azimuth: Float[Tensor, "B"]
    elevation: Float[Tensor, "B"]
    distance: Float[Tensor, "B"]
    lights: Lights
    background: Float[Tensor, "B 3"]

    def from_sides(self, sides: int) -> ToyViews:
        """Each view and, right after it, those that stand evenly around the object with it; all else stays equal."""
        turn = torch.arange(sides, device=self.device) * (2.0 * math.pi / sides)
        repeated = self.map(lambda value: value.repeat_interleave(sides, dim=0))
        turn = turn.repeat(len(self))
        azimuth = torch.remainder(repeated.azimuth + turn + math.pi, 2.0 * math.pi) - math.pi
        cameras = repeated.cameras
        turned = Cameras.orbit(
            azimuth,
            repeated.elevation,
            repeated.distance,
            cameras.fov_y,
            height=cameras.height,
            width=cameras.width,
        )
        lights = replace(repeated.lights, positions=_turned(repeated.lights.positions, turn))
        return replace(repeated, cameras=turned, azimuth=azimuth, lights=lights)


def _turned(points: Float[Tensor, "B 3"], angle: Float[Tensor, "B"]) -> Float[Tensor, "B 3"]:
    """The points, turned about +z by angles in radians."""
    x, y, z = points.unbind(dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=-1)


@dataclass(frozen=True, kw_only=True)
class ViewDistribution:
    """Ranges are uniform; shares are probabilities."""

    azimuth_range_deg: tuple[float, float] = (-180.0, 180.0)
    """0 is the front of the object (+x), counter-clockwise seen from above."""
    elevation_range_deg: tuple[float, float] = (-10.0, 45.0)
    """Most elevations."""
    high_elevation_range_deg: tuple[float, float] = (45.0, 85.0)
    """The others."""
    high_elevation_share: float = 0.2
    """How often the elevation is one of the others."""
    fov_y_range_deg: tuple[float, float] = (40.0, 50.0)
    """Vertical field of view."""
    framing_range: tuple[float, float] = (1.0, 1.06)
    """Radius of the sphere about the origin that just fits into the view, which sets the distance: a wider field of view
    comes closer, and objects, which stay within 0.8 of the origin, keep their size in the image."""
    light_distance_range: tuple[float, float] = (3.0, 5.0)
    """Of the point light from the origin, world units."""
    light_spread: float = 0.5
    """The light stands in the direction of the camera plus a normal deviate of this size, normalised."""
    ambient_range: tuple[float, float] = (0.3, 0.7)
    """Share of the light that comes from everywhere: rgb = albedo * (ambient + (1 - ambient) * max(0, n . l))."""
    albedo_share: float = 0.2
    """How often the image shows pure albedo (ambient = 1)."""
    neutral_background_levels: tuple[float, ...] = (1.0, 0.85, 0.5, 0.05)
    """Grey levels of neutral backgrounds, equally likely, give or take `neutral_background_jitter`."""
    neutral_background_jitter: float = 0.05
    """Half width of the uniform deviate of a neutral level, clipped to [0, 1]."""
    neutral_background_share: float = 0.5
    """How often the background is neutral; else each channel is uniform in [0, 1]."""

    def sample(self, count: int, *, size: int, generator: torch.Generator) -> ToyViews:
        """Views of `size` x `size` pixels, drawn on the generator's device."""
        draw = _Draws(count, generator)
        azimuth = torch.deg2rad(draw.within(self.azimuth_range_deg))
        is_high = draw.chance(self.high_elevation_share)
        elevation = torch.where(
            is_high, draw.within(self.high_elevation_range_deg), draw.within(self.elevation_range_deg)
        )
        elevation = torch.deg2rad(elevation)
        fov_y = torch.deg2rad(draw.within(self.fov_y_range_deg))
        distance = framing_distance(fov_y, draw.within(self.framing_range))
        cameras = Cameras.orbit(azimuth, elevation, distance, fov_y, height=size, width=size)
        lights = self._lights(spherical_direction(azimuth, elevation), draw)
        return ToyViews(cameras, azimuth, elevation, distance, lights, self._backgrounds(draw))

    def _lights(self, camera_direction: Float[Tensor, "B 3"], draw: _Draws) -> Lights:
        direction = F.normalize(camera_direction + self.light_spread * draw.normal(3), dim=-1)
        positions = draw.within(self.light_distance_range)[:, None] * direction
        ambient = draw.within(self.ambient_range)
        return Lights(positions, torch.where(draw.chance(self.albedo_share), torch.ones_like(ambient), ambient))

    def _backgrounds(self, draw: _Draws) -> Float[Tensor, "B 3"]:
        levels = torch.tensor(self.neutral_background_levels, device=draw.device)
        index = (draw.within((0.0, 1.0)) * len(levels)).long().clamp(max=len(levels) - 1)
        jitter = draw.within((-self.neutral_background_jitter, self.neutral_background_jitter))
        neutral = (levels[index] + jitter).clamp(0, 1)[:, None].expand(-1, 3)
        return torch.where(draw.chance(self.neutral_background_share)[:, None], neutral, draw.uniform(3))


class _Draws:
    """Draws for a batch, from one generator."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator, self.device = count, generator, generator.device

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.count, *shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.generator, device=self.device)

    def within(self, bounds: tuple[float, float]) -> Tensor:
        return bounds[0] + (bounds[1] - bounds[0]) * self.uniform()

    def chance(self, share: float) -> Tensor:
        return self.uniform() < share
