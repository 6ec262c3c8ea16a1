"""Colour that the field itself emits, different in each direction: features are coefficients of spherical harmonics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import MATERIALS
from framework.core.step import StepInfo
from framework.materials.albedo import albedo
from framework.materials.base import Material
from framework.structures.field import ShadingPoints

_LARGEST_DEGREE = 3


def real_harmonics(directions: Float[Tensor, "N 3"], degree: int) -> Float[Tensor, "N K"]:
    """Real spherical harmonics up to `degree`, K = (degree + 1)^2, ordered by degree l and then by m from -l to l.

    They are orthonormal over the sphere and carry no Condon-Shortley sign, so that those of degree 1 are y, z and x
    (Sloan, "Stupid Spherical Harmonics Tricks", 2008, appendix A2).

    Args:
        directions: Unit vectors.
        degree: From 0 to 3.
    """
    x, y, z = directions.unbind(dim=1)
    xx, yy, zz = x * x, y * y, z * z
    bands = [
        [(1 / 4, torch.ones_like(x))],
        [(3 / 4, y), (3 / 4, z), (3 / 4, x)],
        [(15 / 4, x * y), (15 / 4, y * z), (5 / 16, 3 * zz - 1), (15 / 4, x * z), (15 / 16, xx - yy)],
        [
            (35 / 32, y * (3 * xx - yy)),
            (105 / 4, x * y * z),
            (21 / 32, y * (5 * zz - 1)),
            (7 / 16, z * (5 * zz - 3)),
            (21 / 32, x * (5 * zz - 1)),
            (105 / 16, z * (xx - yy)),
            (35 / 32, x * (xx - 3 * yy)),
        ],
    ]
    terms = [math.sqrt(square / math.pi) * term for band in bands[: degree + 1] for square, term in band]
    return torch.stack(terms, dim=1)


@MATERIALS.register("spherical-harmonics")
class SphericalHarmonics(Material):
    """Emitted colour that changes smoothly with the view direction (Plenoxels, arXiv:2112.05131).

    Of the features, 3 for each harmonic, the first three alone are the colour without what depends on the direction.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Material.Config):
        degree: int = 2
        """Highest degree, 0 to 3; the geometry needs 3 (degree + 1)^2 features."""

        def __post_init__(self) -> None:
            if not 0 <= self.degree <= _LARGEST_DEGREE:
                raise ValueError(f"degree must lie between 0 and {_LARGEST_DEGREE}, got {self.degree}.")

    config: Config

    def __init__(self, config: Config, *, num_features: int, generator: torch.Generator) -> None:
        super().__init__(config, num_features=num_features, generator=generator)
        self._needed = 3 * (config.degree + 1) ** 2
        if num_features < self._needed:
            raise ValueError(
                f"material 'spherical-harmonics': degree {config.degree} needs {self._needed} features, but the geometry "
                f"has {num_features}. Set geometry.num_features to {self._needed}, or lower the degree."
            )

    def shade(self, points: ShadingPoints, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point in [0, 1], sRGB."""
        directed = features[:, 3 : self._needed].unflatten(1, (self._needed // 3 - 1, 3))
        harmonics = real_harmonics(points.view_directions, self.config.degree)[:, 1:]
        return torch.sigmoid(features[:, :3] + torch.einsum("nk,nkc->nc", harmonics, directed))

    def base_color(self, features: Float[Tensor, "N F"], step: StepInfo) -> Float[Tensor, "N 3"]:
        """Colour of each point without what depends on the view direction."""
        return albedo(features)
