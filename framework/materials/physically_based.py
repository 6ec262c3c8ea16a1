"""Physically based surfaces: the metallic-roughness model of glTF 2.0 under light from all sides.

What a mesh viewer does with the exported textures is done in training. Base colours are sRGB values, converted before
they meet light, and exported as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import MATERIALS
from framework.core.step import StepInfo
from framework.materials.albedo import albedo
from framework.materials.base import Material, SurfaceProperties
from framework.materials.surroundings import Surroundings
from framework.structures.field import Attribute, ShadingPoints
from framework.structures.views import Lights

_METALLIC_SHIFT = -2.0  # a new scene is hardly metallic: metals have no colour of their own where nothing is mirrored
_SMALLEST_SHARE = 0.01  # of a range that features are asked to show, as its ends are infinitely far
_LARGEST_OFFSET = 0.5  # of each component, so that an offset normal never points into the surface


@MATERIALS.register("physically-based")
class PhysicallyBased(Material):
    """Metals and non-metals of any roughness under light from all sides (glTF 2.0; split sum, Karis 2013).

    Features are 3 for base colour, 1 for metallic, 1 for roughness, and with `normal_map` 3 that bend the normal. The
    surrounding replaces the light of a view, with two exceptions: views in plain ambient light show base colour, as those
    of matte materials do, and textureless views show white, matte surfaces.
    """

    needs = frozenset({Attribute.FEATURES, Attribute.NORMALS})

    @dataclass(kw_only=True, frozen=True)
    class Config(Material.Config):
        light: str = "sky"
        """The surrounding: `sky`, `uniform` (gray), or the path of an equirectangular picture (.hdr, .png, .jpg)."""
        light_rows: int = 64
        """Rows of the panorama that the surrounding is reduced to; it has twice as many columns."""
        brightness: float = 0.7
        """Mean radiance of the surrounding, linear: what a white matte surface shows on average."""
        random_rotation: bool = True
        """Turn the surrounding about the vertical axis by a random angle in each training step."""
        roughness_range: tuple[float, float] = (0.08, 0.9)
        """Roughness of the smoothest and of the roughest surface there can be, in [0, 1]."""
        metallic_range: tuple[float, float] = (0.0, 0.9)
        """Least and most metallic that a surface can be, in [0, 1]."""
        normal_map: bool = False
        """Bend normals by three further features; exported as a normal texture."""

        def __post_init__(self) -> None:
            for name in ("roughness_range", "metallic_range"):
                low, high = getattr(self, name)
                if not 0.0 <= low <= high <= 1.0:
                    raise ValueError(f"{name} must ascend and lie in [0, 1], got {low:g} to {high:g}.")
            if not 4 <= self.light_rows <= 512:
                raise ValueError(f"light_rows must lie between 4 and 512, got {self.light_rows}.")
            if not 0.0 < self.brightness < math.inf:
                raise ValueError(f"brightness must be positive, got {self.brightness:g}.")

    config: Config

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        super().__init__(config, num_features=num_features, generator=generator)
        needed = 8 if config.normal_map else 5
        if num_features < needed:
            raise ValueError(
                f"material 'physically-based': needs {needed} features for base colour, metallic, roughness"
                f"{' and normals' if config.normal_map else ''}, but the geometry has {num_features}. "
                f"Set geometry.num_features to {needed} or more."
            )
        self.surroundings = Surroundings.load(config.light, rows=config.light_rows, brightness=config.brightness)

    def needs_under(self, lights: Lights) -> frozenset[Attribute]:
        """No normals where every view has ambient light only."""
        return self.needs if bool(lights.diffuse.any()) else self.needs - {Attribute.NORMALS}

    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB; without normals it is the base colour in ambient light."""
        surface = self.surface(features, step).bared(points.is_textureless)
        plain = surface.base_color * points.ambient[:, None]
        if points.normals is None:
            return plain
        lit = self.surroundings.color(surface, points.normals, -points.view_directions, turn=self._turn(step))
        return torch.where(points.diffuse[:, None] > 0.0, lit, plain)

    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Base colour of each point, in [0, 1], sRGB."""
        return albedo(features)

    def surface(self, features: Float[Tensor, "N F"], step: StepInfo) -> SurfaceProperties:
        """All that glTF calls a material: base colour, roughness, metallic, and the normal's offset if there is one."""
        metallic = torch.sigmoid(features[:, 3] + _METALLIC_SHIFT)
        roughness = torch.sigmoid(features[:, 4])
        return SurfaceProperties(
            albedo(features),
            roughness=_between(roughness, self.config.roughness_range),
            metallic=_between(metallic, self.config.metallic_range),
            normal_offset=_LARGEST_OFFSET * torch.tanh(features[:, 5:8]) if self.config.normal_map else None,
        )

    def features_of(self, surface: Float[Tensor, "N C"]) -> Float[Tensor, "N K"]:
        """Features of base colour, and of metallic and roughness where they are known."""
        color = super().features_of(surface)
        if surface.shape[1] < 5:
            return color
        roughness, metallic = (
            torch.logit(_share(surface[:, channel], ends).clamp(_SMALLEST_SHARE, 1.0 - _SMALLEST_SHARE))
            for channel, ends in ((3, self.config.roughness_range), (4, self.config.metallic_range))
        )
        return torch.cat([color, (metallic - _METALLIC_SHIFT)[:, None], roughness[:, None]], dim=1)

    def _turn(self, step: StepInfo) -> float:
        if not (self.config.random_rotation and step.is_training):
            return 0.0
        return 2.0 * math.pi * float(torch.rand((), generator=step.batch_generator("environment light")))


def _between(share: Float[Tensor, "N"], ends: tuple[float, float]) -> Float[Tensor, "N"]:
    return ends[0] + (ends[1] - ends[0]) * share


def _share(value: Float[Tensor, "N"], ends: tuple[float, float]) -> Float[Tensor, "N"]:
    """The inverse of `_between`; one half where both ends are the same."""
    if ends[0] == ends[1]:
        return torch.full_like(value, 0.5)
    return (value - ends[0]) / (ends[1] - ends[0])
