"""What explicit surfaces share: a network that knows the features at each point of space."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.step import StepInfo
from framework.geometry.base import SurfaceGeometry
from framework.geometry.fitting import fit
from framework.geometry.point_network import PointNetwork
from framework.structures.field import Attribute, FieldQuery, FieldSample

_BATCH = 1 << 12
_POINTS_AT_ONCE = 1 << 17


class FeatureSurface(PointNetwork, SurfaceGeometry, ABC):
    """A surface whose features come from encoded positions through a small perceptron."""

    @dataclass(kw_only=True, frozen=True)
    class Config(PointNetwork.Config):
        pass

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        self.build_network(config.num_features, generator)

    def query(self, query: FieldQuery) -> FieldSample:
        """The features, if they are wanted; there is nothing else to ask for."""
        if Attribute.FEATURES not in query.wants:
            return FieldSample()
        return FieldSample(features=self.features(query.positions, query.step))

    def features(self, positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N F"]:
        """Features at world positions; beyond the cube those of its faces."""
        return self.network(self._in_unit_cube(positions), step)

    def fit_features(
        self,
        positions: Float[Tensor, "N 3"],
        targets: Float[Tensor, "N K"],
        *,
        step: StepInfo,
        generator: torch.Generator,
        iterations: int,
    ) -> float:
        """Train the network so that its first K features are `targets` at world positions.

        Args:
            positions: Where they are known.
            targets: For K of the features, the first ones; others are free.
            step: When the features are asked, as far as the encoding depends on it.
            generator: Source of the batches, on the CPU.
            iterations: Steps of Adam.

        Returns:
            Root of the mean squared error over all positions, after training.
        """

        def loss(index: Tensor) -> Tensor:
            index = index.to(positions.device)
            found = self.features(positions[index], step)[:, : targets.shape[1]]
            return (found - targets[index]).square().mean()

        fit(
            [*self.encoding.parameters(), *self.mlp.parameters()],
            loss,
            num_points=len(positions),
            batch_size=_BATCH,
            iterations=iterations,
            generator=generator,
        )
        return self._error(positions, targets, step)

    @torch.no_grad()
    def _error(self, positions: Tensor, targets: Tensor, step: StepInfo) -> float:
        batches = zip(positions.split(_POINTS_AT_ONCE), targets.split(_POINTS_AT_ONCE), strict=True)
        squares = [(self.features(at, step)[:, : target.shape[1]] - target).square().sum() for at, target in batches]
        return math.sqrt(float(torch.stack(squares).sum()) / max(1, targets.numel()))
