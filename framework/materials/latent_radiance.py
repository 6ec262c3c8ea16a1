"""Latents of a diffusion model's autoencoder that the field itself emits (Latent-NeRF, arXiv:2211.07600).

A guidance with `buffer: latent` sees them without an encoder between. Colours are a linear map of latents, which is close
to what a decoder makes of them, one pixel for each latent: this is what images, losses and export show. The map can be
learned, too, so that a later stage goes on with colours (RGB refinement, section 3.4 there).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.registries import MATERIALS
from framework.core.step import StepInfo
from framework.materials.base import Material
from framework.structures.field import ShadingPoints

STABLE_DIFFUSION = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
"""Colours in [-1, 1] of each latent channel of Stable Diffusion 1 and 2, fitted to pictures by their users."""


class LatentColors(nn.Module):
    """A linear map from latents to colours in [0, 1], and the latents that it shows as a colour.

    Attributes:
        matrix: Red, green and blue in [-1, 1] of one unit of each channel.
    """

    matrix: Tensor

    def __init__(self, rows: tuple[tuple[float, float, float], ...], *, is_trained: bool) -> None:
        super().__init__()
        matrix = torch.tensor(rows)
        if is_trained:
            self.matrix = nn.Parameter(matrix)
        else:
            self.register_buffer("matrix", matrix)

    def colors(self, latents: Float[Tensor, "*shape C"]) -> Float[Tensor, "*shape 3"]:
        """In [0, 1], sRGB; differentiable, also in the map."""
        return (0.5 + 0.5 * (latents @ self.matrix)).clamp(0.0, 1.0)

    def latents(self, colors: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape C"]:
        """The smallest latents that are shown as these colours."""
        return (2.0 * colors - 1.0) @ torch.linalg.pinv(self.matrix.detach())


@MATERIALS.register("latent-radiance")
class LatentRadiance(Material):
    """Emitted latents, light or no light; colours are a linear map of them (Latent-NeRF).

    The first features are the latents. What stands behind the object counts with the latents that show its colour.
    """

    has_latents = True

    @dataclass(kw_only=True, frozen=True)
    class Config(Material.Config):
        rgb: tuple[tuple[float, float, float], ...] = STABLE_DIFFUSION
        """Red, green and blue in [-1, 1] of one unit of each latent channel; as many rows as the autoencoder has channels."""
        train_rgb: bool = False
        """Train this map as well, by guidances and losses that look at colours; it needs a learning rate, as
        scene.material does then."""

        def __post_init__(self) -> None:
            if len(self.rgb) < 3 or torch.linalg.matrix_rank(torch.tensor(self.rgb)) < 3:
                raise ValueError(
                    f"rgb must be at least three rows from which all colours can be mixed, got {self.rgb}."
                )

    config: Config

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        super().__init__(config, num_features=num_features, generator=generator)
        self.num_latents = len(config.rgb)
        if num_features < self.num_latents:
            raise ValueError(
                f"material 'latent-radiance': needs {self.num_latents} features for as many latent channels, but the "
                f"geometry has {num_features}. Set geometry.num_features to {self.num_latents} or more."
            )
        self.to_rgb = LatentColors(config.rgb, is_trained=config.train_rgb)

    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB."""
        return self.base_color(features, step)

    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB."""
        return self.to_rgb.colors(self.latents(features))

    def features_of(self, surface: Float[Tensor, "N C"]) -> Float[Tensor, "N K"]:
        """Latents that show the base colour."""
        return self.latents_of_color(surface[:, :3])

    def latents(self, features: Float[Tensor, "N F"]) -> Float[Tensor, "N C"]:
        """Latents of each point, unbounded."""
        return features[:, : self.num_latents]

    def latents_of_color(self, colors: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape C"]:
        """Latents that show these colours."""
        return self.to_rgb.latents(colors)
