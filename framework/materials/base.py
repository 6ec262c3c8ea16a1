"""The contract of materials: colour of points from features, normals, light and view direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component
from framework.core.step import StepInfo
from framework.structures.field import Attribute, ShadingPoints
from framework.structures.views import Lights

_MARGIN = 0.01
"""By how much colours that features are to show stay away from 0 and 1, where these would be infinite."""


@dataclass(frozen=True)
class SurfaceProperties:
    """What of a material is the surface's own, under no light: what is baked into textures.

    Attributes:
        base_color: In [0, 1], sRGB.
        roughness, metallic: In [0, 1], as glTF 2.0 defines them; None of a material that knows no such thing.
        normal_offset: Added to the unit normal, world space; None where the geometry's normals are the only ones.
            Not without the other two.
    """

    base_color: Float[Tensor, "N 3"]
    roughness: Float[Tensor, "N"] | None = None
    metallic: Float[Tensor, "N"] | None = None
    normal_offset: Float[Tensor, "N 3"] | None = None

    def stacked(self) -> Float[Tensor, "N C"]:
        """All that is there as channels: base colour 3, roughness 1, metallic 1, normal offset 3."""
        if self.roughness is None or self.metallic is None:
            return self.base_color
        channels = [self.base_color, self.roughness[:, None], self.metallic[:, None]]
        return torch.cat(channels if self.normal_offset is None else [*channels, self.normal_offset], dim=1)

    def bared(self, share: Float[Tensor, "N"]) -> SurfaceProperties:
        """The same where `share` is 0, and where it is 1 a white, matte surface with the geometry's own normals."""
        kept = 1.0 - share
        return SurfaceProperties(
            self.base_color * kept[:, None] + share[:, None],
            None if self.roughness is None else self.roughness * kept + share,
            None if self.metallic is None else self.metallic * kept,
            None if self.normal_offset is None else self.normal_offset * kept[:, None],
        )


class Material(Component, nn.Module, ABC):
    """How a surface looks; `needs` are the attributes it asks of the geometry."""

    needs: frozenset[Attribute] = frozenset({Attribute.FEATURES})
    has_latents: ClassVar[bool] = False
    """Whether it knows latents of a diffusion model's autoencoder beside colours."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        """Build for a geometry with `num_features` channels; `generator` draws initial weights."""
        super().__init__()
        self.config = config

    def needs_under(self, lights: Lights) -> frozenset[Attribute]:
        """The part of `needs` that these lights call for: normals cost as much as the rest of a render."""
        return self.needs

    @abstractmethod
    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB."""

    @abstractmethod
    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point without light, in [0, 1], sRGB: what is baked into a texture."""

    def features_of(self, surface: Float[Tensor, "N C"]) -> Float[Tensor, "N K"]:
        """The first features by which it shows a surface: the inverse of `surface`, as near as its range allows.

        Args:
            surface: As `SurfaceProperties.stacked` has it; base colour, or with roughness and metallic.
        """
        return torch.logit(surface[:, :3].clamp(_MARGIN, 1.0 - _MARGIN))

    def latents(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N C"]:
        """Latents of each point, of materials that have some."""
        raise NotImplementedError(f"{type(self).__name__} has no latents.")

    def latents_of_color(self, colors: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape C"]:
        """Latents that stand for colours in [0, 1], sRGB, of materials that have some."""
        raise NotImplementedError(f"{type(self).__name__} has no latents.")

    def surface(self, features: Float[Tensor, "N F"], step: StepInfo) -> SurfaceProperties:
        """All that is baked into textures; of most materials the base colour alone."""
        return SurfaceProperties(self.base_color(features, step))
