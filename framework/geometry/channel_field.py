"""What fields share that are a function from points to channels: bounds, features and normals.

Channels of a point are a raw scalar, the features for the material and, where they are predicted, a normal. The scalar
makes the level, which falls from the inside of the object to the outside; what it means, a density or a distance, is
for the subclasses to say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core import schedule
from framework.core.schedule import Schedule
from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.geometry.normals import analytic_slope, finite_difference_slope, unit
from framework.ops.backends import AUTO
from framework.structures.field import Attribute, FieldQuery, FieldSample

_TWICE_DIFFERENTIABLE = "torch"


class ChannelField(Geometry, ABC):
    """A geometry made of channels; what remains to be said is `channels`, `level` and `shape`."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Geometry.Config):
        normals: Literal["finite-difference", "analytic", "predicted"] = "finite-difference"
        """From four values around the point, the field's derivative (slow: torch only), or channels of the field."""
        normal_epsilon: Schedule = schedule.Constant(0.01)
        """Distance of the values behind finite differences from the point, world units."""

        def __post_init__(self) -> None:
            super().__post_init__()
            smallest = self.normal_epsilon.bounds()[0]
            if smallest <= 0.0:
                raise ValueError(f"normal_epsilon must stay positive, got {smallest:g}.")

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=_checked_backends(config, backends))

    @property
    def num_channels(self) -> int:
        """The raw scalar, features, and a normal where it is predicted."""
        return 1 + self.config.num_features + (3 if self.config.normals == "predicted" else 0)

    @abstractmethod
    def channels(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N C"]:
        """All `num_channels` of points in the unit cube [0, 1]^3, not activated."""

    @abstractmethod
    def level(self, raw: Float[Tensor, "N"], positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N"]:
        """What falls from the inside to the outside, of raw scalars at world positions."""

    @abstractmethod
    def shape(self, level: Float[Tensor, "N"], query: FieldQuery) -> FieldSample:
        """What the level says of the shape, as far as `query` wants it."""

    def query(self, query: FieldQuery) -> FieldSample:
        """The wanted attributes."""
        by_slope = query.wants & self._told_by_slope
        others = (query.wants & self.answers) - by_slope
        sample = self._of_channels(query, others) if others else FieldSample()
        return self._with_slope(sample, query, by_slope) if by_slope else sample

    @property
    def _told_by_slope(self) -> frozenset[Attribute]:
        told = {Attribute.GRADIENT} | ({Attribute.NORMALS} if self.config.normals != "predicted" else set())
        return self.answers & told

    def _of_channels(self, query: FieldQuery, wants: AbstractSet[Attribute]) -> FieldSample:
        raw, features, *predicted = self._split(self.channels(self._in_unit_cube(query.positions), query.step))
        return replace(
            self.shape(self.level(raw[:, 0], query.positions, query.step), query),
            features=features if Attribute.FEATURES in wants else None,
            normals=unit(predicted[0]) if Attribute.NORMALS in wants else None,
        )

    def _with_slope(self, sample: FieldSample, query: FieldQuery, wants: AbstractSet[Attribute]) -> FieldSample:
        outwards = torch.neg(self._slope(query))
        return replace(
            sample,
            normals=unit(outwards) if Attribute.NORMALS in wants else sample.normals,
            gradient=outwards if Attribute.GRADIENT in wants else None,
        )

    def _slope(self, query: FieldQuery) -> Float[Tensor, "N 3"]:
        def level(positions: Tensor) -> Tensor:
            raw = self.channels(self._in_unit_cube(positions), query.step)[:, 0]
            return self.level(raw, positions, query.step)

        if self.config.normals == "analytic":
            return analytic_slope(level, query.positions)
        return finite_difference_slope(level, query.positions, epsilon=self.config.normal_epsilon(query.step))

    def _split(self, channels: Float[Tensor, "N C"]) -> tuple[Tensor, ...]:
        predicted = self.num_channels - 1 - self.config.num_features
        return torch.split(channels, [1, self.config.num_features, *([predicted] if predicted else [])], dim=1)


def _checked_backends(config: ChannelField.Config, backends: dict[str, str]) -> dict[str, str]:
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
