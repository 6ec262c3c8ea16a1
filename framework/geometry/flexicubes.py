"""A deformable grid of cubes with signed distances at its vertices and weights in its cubes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.registries import GEOMETRIES
from framework.core.step import StepInfo
from framework.geometry.dual_cubes import CubeWeights, dual_surface
from framework.geometry.isosurface_grid import IsosurfaceGrid
from framework.structures.mesh import Mesh

_CORNERS, _EDGES = 8, 12


@GEOMETRIES.register("flexicubes")
class FlexiCubes(IsosurfaceGrid):
    """A dual surface over trained signed distances that follows sharp features (FlexiCubes, arXiv:2308.05371)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(IsosurfaceGrid.Config):
        weight_range: float = 0.9
        """Weights of a cube's corners and edges lie within this of 1."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0.0 < self.weight_range < 1.0:
                raise ValueError(f"weight_range must lie strictly between 0 and 1, got {self.weight_range:g}.")

    config: Config

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        line = torch.linspace(-1.0, 1.0, config.resolution + 1)
        rest = torch.cartesian_prod(line, line, line)
        super().__init__(config, rest=rest, generator=generator, backends=backends)
        weights = torch.zeros(config.resolution**3, _CORNERS + _EDGES + 1, device=generator.device)
        self.weights = nn.Parameter(weights)

    def cube_weights(self) -> CubeWeights:
        """The weights of all cubes, each within `weight_range` of 1; all 1 before training."""
        weights = 1.0 + self.config.weight_range * torch.tanh(self.weights)
        alpha, beta, gamma = weights.split([_CORNERS, _EDGES, 1], dim=1)
        return CubeWeights(alpha, beta, gamma[:, 0])

    @torch.no_grad()
    def take_distances(self, distances: Float[Tensor, "V"]) -> None:
        """Replace the shape by signed distances at `rest_positions`, undeformed and with all weights 1."""
        super().take_distances(distances)
        self.weights.zero_()

    def extract(self, positions: Float[Tensor, "V 3"], distances: Float[Tensor, "V"], step: StepInfo) -> Mesh:
        """The surface for these positions and distances; its quads are cut in four in training, else in two."""
        side = self.config.resolution + 1
        found = dual_surface(
            positions, distances.view(side, side, side), self.cube_weights(), cuts_in_four=step.is_training
        )
        ends = distances.index_select(0, found.crossed.flatten()).view(-1, 2)
        return Mesh(found.vertices, found.faces, crossings=ends, deviation=found.deviation)
