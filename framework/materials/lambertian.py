"""Matte surfaces under one point light, with the light model of `framework.structures.views`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import MATERIALS
from framework.core.step import StepInfo
from framework.materials.albedo import albedo, check_albedo_features
from framework.materials.base import Material
from framework.structures.field import Attribute, ShadingPoints
from framework.structures.views import Lights


@MATERIALS.register("lambertian")
class Lambertian(Material):
    """Matte albedo under ambient and point light (DreamFusion, 3.1); shows white albedo in textureless views."""

    needs = frozenset({Attribute.FEATURES, Attribute.NORMALS})

    @dataclass(kw_only=True, frozen=True)
    class Config(Material.Config):
        pass

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        super().__init__(config, num_features=num_features, generator=generator)
        check_albedo_features("lambertian", num_features)

    def needs_under(self, lights: Lights) -> frozenset[Attribute]:
        """No normals where every view has ambient light only."""
        return self.needs if bool(lights.diffuse.any()) else self.needs - {Attribute.NORMALS}

    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB; without normals the diffuse share is left out."""
        color = albedo(features)
        color = color + points.is_textureless[:, None] * (1.0 - color)
        light = points.ambient
        if points.normals is not None:
            to_light = F.normalize(points.light_positions - points.positions, dim=1)
            light = light + points.diffuse * (points.normals * to_light).sum(dim=1).clamp(min=0.0)
        return (color * light[:, None]).clamp(max=1.0)

    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Albedo of each point."""
        return albedo(features)
