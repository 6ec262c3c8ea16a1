"""What density fields share: activation, bias, bounds and normals of a function from points to channels.

Channels of a point are its raw density, the features for the material and, where they are predicted, a normal. The
density is activation(raw + bias) inside the cube and zero outside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.component import slot
from framework.core.registries import DENSITY_BIASES
from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.geometry.density_bias import DensityBias
from framework.geometry.normals import analytic_normals, finite_difference_normals, unit
from framework.networks.activations import activation
from framework.ops.backends import AUTO
from framework.structures.field import Attribute, FieldQuery, FieldSample

_TWICE_DIFFERENTIABLE = "torch"


class VolumeField(Geometry, ABC):
    """A geometry that is a volume density; what remains to be said is `channels`."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Geometry.Config):
        density_activation: Literal["softplus", "trunc-exp"] = "softplus"
        """Turns raw values into densities."""
        density_bias: DensityBias.Config = slot(DENSITY_BIASES, default="blob")
        """Added to the raw density, so that training starts from a sensible shape."""
        normals: Literal["finite-difference", "analytic", "predicted"] = "finite-difference"
        """From four densities around the point, the field's derivative (slow: torch only), or channels of the field."""
        normal_epsilon: float = 0.01
        """Distance of the densities behind finite differences from the point, world units."""

        def __post_init__(self) -> None:
            if self.radius <= 0.0 or self.normal_epsilon <= 0.0:
                sizes = f"{self.radius:g} and {self.normal_epsilon:g}"
                raise ValueError(f"radius and normal_epsilon must be positive, got {sizes}.")
            if self.num_features < 1:
                raise ValueError(f"num_features must be positive, got {self.num_features}.")

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=_checked_backends(config, backends))
        self._bias = DENSITY_BIASES.build(config.density_bias)
        self._activation = activation(config.density_activation)

    @property
    def num_channels(self) -> int:
        """Raw density, features, and a normal where it is predicted."""
        return 1 + self.config.num_features + (3 if self.config.normals == "predicted" else 0)

    @abstractmethod
    def channels(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N C"]:
        """All `num_channels` of points in the unit cube [0, 1]^3, not activated."""

    def query(self, query: FieldQuery) -> FieldSample:
        """The wanted attributes; density is zero outside the cube."""
        wants, normals = query.wants, None
        if Attribute.NORMALS in wants and self.config.normals != "predicted":
            normals = self._slope_normals(query)
            wants = wants - {Attribute.NORMALS}
        if not wants:
            return FieldSample(normals=normals)
        raw, features, *predicted = self._split(self.channels(self._in_unit_cube(query.positions), query.step))
        return FieldSample(
            density=self._density(raw, query) if Attribute.DENSITY in wants else None,
            features=features if Attribute.FEATURES in wants else None,
            normals=unit(predicted[0]) if Attribute.NORMALS in wants else normals,
        )

    def _split(self, channels: Float[Tensor, "N C"]) -> tuple[Tensor, ...]:
        predicted = self.num_channels - 1 - self.config.num_features
        return torch.split(channels, [1, self.config.num_features, *([predicted] if predicted else [])], dim=1)

    def _density(self, raw: Float[Tensor, "N 1"], query: FieldQuery) -> Float[Tensor, "N"]:
        density = self._activation(raw[:, 0] + self._bias(query.positions, query.step))
        is_inside = query.positions.abs().amax(dim=1) <= self.config.radius
        return density * is_inside

    def _slope_normals(self, query: FieldQuery) -> Float[Tensor, "N 3"]:
        def raw_density(positions: Tensor) -> Tensor:
            raw = self.channels(self._in_unit_cube(positions), query.step)[:, 0]
            return raw + self._bias(positions, query.step)

        if self.config.normals == "analytic":
            return analytic_normals(raw_density, query.positions)
        return finite_difference_normals(raw_density, query.positions, epsilon=self.config.normal_epsilon)

    def _in_unit_cube(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        return (positions * (0.5 / self.config.radius) + 0.5).clamp(0.0, 1.0)


def _checked_backends(config: VolumeField.Config, backends: dict[str, str]) -> dict[str, str]:
    """`backends`, with torch wherever analytic normals differentiate twice.

    Raises:
        ValueError: If another implementation was asked for by name.
    """
    if config.normals != "analytic":
        return backends
    for operation in ("hash-encoding", "mlp"):
        requested = backends.get(operation, AUTO)
        if requested not in (AUTO, _TWICE_DIFFERENTIABLE):
            raise ValueError(
                f"normals: 'analytic' needs second derivatives, which '{requested}' of backends.{operation} does not "
                "have. Use normals 'finite-difference', or set that backend to 'torch'."
            )
    return {**backends, "hash-encoding": _TWICE_DIFFERENTIABLE, "mlp": _TWICE_DIFFERENTIABLE}
