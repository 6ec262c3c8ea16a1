"""The contract of geometries: fields that answer queries at points in space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from framework.core.component import Component
from framework.structures.field import FieldQuery, FieldSample


class Geometry(Component, nn.Module, ABC):
    """A shape in the cube [-radius, radius]^3 that answers `FieldQuery`s."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        radius: float = 1.0
        """Half side of the cube that bounds the shape, in world units."""
        num_features: int = 3
        """Channels that the geometry hands to the material at each point."""

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        """Build the initial shape.

        Args:
            config: What was asked for.
            generator: Source of the initial weights (on the CPU).
            backends: Requested implementation by operation; absent means automatic.
        """
        super().__init__()
        self.config = config
        self.backends = backends

    @abstractmethod
    def query(self, query: FieldQuery) -> FieldSample:
        """The wanted attributes at the query's positions."""
