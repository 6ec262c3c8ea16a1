"""What grids of signed distances share: a distance at every vertex, vertices that move, and a surface between them.

Distances are positive on the faces of the cube, whatever the parameters say, and vertices there stay in place, so that
the surface is closed: what would stick out of the cube is cut off along its faces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import slot
from framework.core.errors import BrokenSurface, UserError
from framework.core.registries import GEOMETRIES, SHAPE_INITIALIZATIONS
from framework.core.step import StepInfo
from framework.geometry.feature_surface import FeatureSurface
from framework.geometry.shape_initialization import ShapeInitialization
from framework.structures.mesh import Mesh

_BORDER_DISTANCE = 1e-2
"""Least distance on the border, in cells."""


class IsosurfaceGrid(FeatureSurface, ABC):
    """A surface between grid vertices with signed distances that are trained one by one."""

    @dataclass(kw_only=True, frozen=True)
    class Config(FeatureSurface.Config):
        resolution: int = 32
        """Cells along each side of the cube."""
        shape: ShapeInitialization.Config = slot(SHAPE_INITIALIZATIONS, default="sphere")
        """What the surface is before training."""
        deformable: bool = True
        """Whether grid vertices move, too, each coordinate by up to half a cell."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 4 <= self.resolution <= 256:
                raise ValueError(f"resolution must lie in [4, 256], got {self.resolution}.")

    config: Config
    _rest: Tensor
    _floor: Tensor
    _limit: Tensor

    def __init__(
        self,
        config: Config,
        *,
        rest: Float[Tensor, "V 3"],
        generator: torch.Generator,
        backends: dict[str, str],
    ) -> None:
        """Build on vertices at `rest`, in [-1, 1]^3.

        Raises:
            UserError: If the initial shape contains none of the grid's vertices.
        """
        super().__init__(config, generator=generator, backends=backends)
        is_border = rest.abs().amax(dim=1) >= 1.0
        cell = 2.0 * config.radius / config.resolution
        device = generator.device
        rest, is_border = rest.to(device), is_border.to(device)
        self.register_buffer("_rest", rest * config.radius, persistent=False)
        self.register_buffer(
            "_floor", torch.where(is_border, _BORDER_DISTANCE * cell, -torch.inf).to(device), persistent=False
        )
        self.register_buffer("_limit", torch.where(is_border, 0.0, 0.5 * cell)[:, None], persistent=False)
        shape = SHAPE_INITIALIZATIONS.build(config.shape, backends=backends)
        self.signed_distance = nn.Parameter(shape.signed_distance(self._rest).detach().float())
        if not bool((self.distances() < 0.0).any()):
            name = SHAPE_INITIALIZATIONS.name_of(config.shape)
            raise UserError(
                f"geometry.shape: '{name}' holds none of the grid's vertices, which are {cell:.3g} apart. Make it "
                "larger, or raise geometry.resolution."
            )
        self.deformation = nn.Parameter(torch.zeros_like(self._rest)) if config.deformable else None

    @property
    def rest_positions(self) -> Float[Tensor, "V 3"]:
        """World positions of the grid's vertices where nothing deforms them."""
        return self._rest

    def positions(self) -> Float[Tensor, "V 3"]:
        """World positions of the grid's vertices."""
        return self._rest if self.deformation is None else self._rest + self._limit * torch.tanh(self.deformation)

    def distances(self) -> Float[Tensor, "V"]:
        """Signed distances at the grid's vertices, negative inside, positive on the faces of the cube, world units."""
        return torch.maximum(self.signed_distance, self._floor)

    def surface(self, step: StepInfo) -> Mesh:
        """The surface in world space, differentiable with respect to the parameters; it may have no faces.

        Raises:
            BrokenSurface: If distances or positions are no longer finite.
        """
        distances, positions = self.distances(), self.positions()
        self._check_finite(distances, positions)
        return self.extract(positions, distances, step)

    @torch.no_grad()
    def take_distances(self, distances: Float[Tensor, "V"]) -> None:
        """Replace the shape by signed distances at `rest_positions`, undeformed."""
        self.signed_distance.copy_(distances)
        if self.deformation is not None:
            self.deformation.zero_()

    @abstractmethod
    def extract(self, positions: Float[Tensor, "V 3"], distances: Float[Tensor, "V"], step: StepInfo) -> Mesh:
        """The surface for these positions and distances of the grid's vertices."""

    def _check_finite(self, distances: Tensor, positions: Tensor) -> None:
        num_bad = int((~(distances.isfinite() & positions.isfinite().all(dim=1))).sum())
        if num_bad > 0:
            raise BrokenSurface(
                f"geometry '{GEOMETRIES.name_of(self.config)}': signed distance or position is not a finite number at "
                f"{num_bad} of {len(distances)} grid vertices",
                "Resume from an earlier checkpoint with a lower learning rate of the geometry.",
            )
