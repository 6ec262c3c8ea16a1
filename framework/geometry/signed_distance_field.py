"""A signed distance field: an initial shape plus what an encoding and a small perceptron have learnt to add to it.

Two renderings see its surface. As a volume its density is sharpness * Psi(-sharpness * distance), with Psi the
cumulative Laplace distribution (VolSDF, arXiv:2106.12052, eq. 2 and 3, whose beta is 1 / sharpness); renderer
`sdf-volume` takes the same sharpness for the logistic distribution of NeuS. Both widths are world units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import slot
from framework.core.errors import BrokenSurface
from framework.core.registries import GEOMETRIES, SHAPE_INITIALIZATIONS
from framework.core.schedule import Schedule
from framework.core.step import StepInfo
from framework.geometry.base import LOWER_RATE
from framework.geometry.dense_grid import dense_layout, grid_points, interpolate_grid
from framework.geometry.neural_field import NeuralField
from framework.geometry.shape_initialization import ShapeInitialization, Sphere
from framework.ops.backends import AUTO
from framework.structures.field import Attribute, FieldQuery, FieldSample

_POINTS_AT_ONCE = 1 << 18
_CHECKED = 48  # points a side of the grid on which a surface is looked for


@GEOMETRIES.register("signed-distance-field")
class SignedDistanceField(NeuralField):
    """A neural signed distance field with a sharpness that turns it into a volume (NeuS, VolSDF).

    The cube bounds the shape: what would stick out of it is cut off and closed by its faces.
    """

    answers = frozenset(Attribute) - {Attribute.GRID}

    @dataclass(kw_only=True, frozen=True)
    class Config(NeuralField.Config):
        initial_shape: ShapeInitialization.Config = slot(SHAPE_INITIALIZATIONS, default="sphere")
        """What the surface is before training."""
        initial_resolution: int = 96
        """Points a side of the grid on which initial shapes other than a sphere are kept."""
        initial_sharpness: float = 20.0
        """Inverse width of the surface before training, per world unit."""
        sharpness: Schedule | None = None
        """Inverse width of the surface; learned from `initial_sharpness` on without a schedule."""

        def __post_init__(self) -> None:
            super().__post_init__()
            lowest = self.initial_sharpness if self.sharpness is None else self.sharpness.bounds()[0]
            if lowest <= 0.0:
                raise ValueError(f"sharpness must stay positive, got {lowest:g}.")
            if not 2 <= self.initial_resolution <= 512:
                raise ValueError(f"initial_resolution must lie in [2, 512], got {self.initial_resolution}.")

    config: Config
    initial: Tensor

    def __init__(self, config: Config, *, generator: torch.Generator, backends: dict[str, str]) -> None:
        super().__init__(config, generator=generator, backends=backends)
        shape = SHAPE_INITIALIZATIONS.build(config.initial_shape, backends=backends)
        self._sphere = shape if isinstance(shape, Sphere) else None
        if self._sphere is None:
            self._layout = dense_layout(config.initial_resolution, 1)
            self.register_buffer("initial", self._tabulated(shape))
        if config.sharpness is None:
            self.log_sharpness = nn.Parameter(torch.tensor(math.log(config.initial_sharpness)))

    @torch.no_grad()
    def check_shape(self, step: StepInfo) -> None:
        """Look at whether there is a surface, on a grid that no shape slips through while its distances are about right."""
        line = torch.linspace(-1.0, 1.0, _CHECKED, device=next(self.parameters()).device) * self.config.radius
        wants = frozenset({Attribute.SIGNED_DISTANCE})
        parts = torch.cartesian_prod(line, line, line).split(_POINTS_AT_ONCE)
        samples = [self.query(FieldQuery(positions, step, wants)) for positions in parts]
        distance = torch.cat([sample.signed_distance for sample in samples if sample.signed_distance is not None])
        nearest, spacing = float(distance.min()), 2.0 * self.config.radius / (_CHECKED - 1)
        if nearest > spacing:
            cause = f"the signed distance is nowhere below {nearest:.3g}, so that there is no surface any more"
            raise BrokenSurface(cause, f"{LOWER_RATE}, or the weights of losses that shrink it.")

    def sharpness(self, step: StepInfo) -> Tensor:
        """Inverse width of the surface, per world unit, a scalar."""
        if self.config.sharpness is None:
            return self.log_sharpness.exp()
        return torch.tensor(self.config.sharpness(step))

    def level(self, raw: Float[Tensor, "N"], positions: Float[Tensor, "N 3"], step: StepInfo) -> Float[Tensor, "N"]:
        """The distance, positive inside."""
        outside_cube = positions.abs().amax(dim=1) - self.config.radius
        return -torch.maximum(self._initial_distance(positions) + raw, outside_cube)

    def shape(self, level: Float[Tensor, "N"], query: FieldQuery) -> FieldSample:
        """The signed distance, and the density that it stands for."""
        return FieldSample(
            signed_distance=-level if Attribute.SIGNED_DISTANCE in query.wants else None,
            density=self._density(level, query.step) if Attribute.DENSITY in query.wants else None,
        )

    def _density(self, level: Float[Tensor, "N"], step: StepInfo) -> Float[Tensor, "N"]:
        sharpness = self.sharpness(step)
        scaled = level * sharpness
        outside = 0.5 * scaled.clamp(max=0.0).exp()
        return sharpness * torch.where(scaled > 0.0, 1.0 - 0.5 * (-scaled.clamp(min=0.0)).exp(), outside)

    def _initial_distance(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        if self._sphere is not None:
            return self._sphere.signed_distance(positions)
        backend = self.backends.get("hash-encoding", AUTO)
        return interpolate_grid(self._in_unit_cube(positions), self.initial, self._layout, backend=backend)[:, 0]

    @torch.no_grad()
    def _tabulated(self, shape: ShapeInitialization) -> Float[Tensor, "entries 1"]:
        """Distances to `shape` on the grid: asking a mesh anew for every sample would take longer than the network."""
        points = (2.0 * grid_points(self._layout) - 1.0) * self.config.radius
        distances = torch.cat([shape.signed_distance(part) for part in points.split(_POINTS_AT_ONCE)])
        table = torch.zeros(self._layout.num_entries, 1)
        table[: len(distances), 0] = distances
        return table
