"""The contract of geometries: fields that answer queries at points in space, some of them with an explicit surface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.component import Component
from framework.core.errors import BrokenSurface
from framework.core.step import StepInfo
from framework.structures.field import Attribute, FieldQuery, FieldSample
from framework.structures.mesh import Mesh

ToFeatures = Callable[[Float[Tensor, "N C"]], Float[Tensor, "N K"]]
"""The first features by which a material shows a surface: its base colour, or also roughness and metallic (N, 5)."""

LOWER_RATE = "Lower the learning rate of scene.geometry"
"""What to do about shapes that training destroys."""

_EXPLODED = 10.0
"""A surface that reaches so many times farther than its cube is no shape any more."""


class Geometry(Component, nn.Module, ABC):
    """A shape in the cube [-radius, radius]^3 that answers `FieldQuery`s."""

    answers: frozenset[Attribute] = frozenset({Attribute.DENSITY, Attribute.FEATURES, Attribute.NORMALS})
    """What a query may ask for."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        radius: float = 1.0
        """Half side of the cube that bounds the shape, in world units."""
        num_features: int = 3
        """Channels that the geometry hands to the material at each point."""

        def __post_init__(self) -> None:
            if self.radius <= 0.0:
                raise ValueError(f"radius must be positive, got {self.radius:g}.")
            if self.num_features < 1:
                raise ValueError(f"num_features must be positive, got {self.num_features}.")

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

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Give tensors whose size is not the config's that which they have in a `state_dict` that is to be loaded."""

    def check_shape(self, step: StepInfo) -> None:
        """Look at whether training has destroyed the shape, as far as that can be told of its kind.

        Raises:
            BrokenSurface: If it has.
        """

    def learn_look(self, to_features: ToFeatures) -> None:
        """Begin with the look of what the shape comes from, where that is known, by the features that `to_features` names."""

    @abstractmethod
    def query(self, query: FieldQuery) -> FieldSample:
        """The wanted attributes at the query's positions."""

    def _in_unit_cube(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """World positions in units of the cube, from 0 to 1; what lies outside is moved onto its faces."""
        return (positions * (0.5 / self.config.radius) + 0.5).clamp(0.0, 1.0)


class SurfaceGeometry(Geometry, ABC):
    """A shape with an explicit surface; away from it there is nothing to ask for but features."""

    answers = frozenset({Attribute.FEATURES})

    @abstractmethod
    def surface(self, step: StepInfo) -> Mesh:
        """The surface in world space, differentiable with respect to the parameters; it may have no faces."""

    def delivered(self, step: StepInfo) -> Mesh:
        """The surface as it is to be exported; with texture coordinates where the geometry knows some."""
        return self.surface(step)

    def check_shape(self, step: StepInfo) -> None:
        """Look at the surface as it is now."""
        self.check_surface(self.surface(step))

    def check_surface(self, surface: Mesh) -> None:
        """Look at whether training has destroyed the surface.

        Raises:
            BrokenSurface: If it has no faces, vertices that are not finite, or reaches far beyond the cube.
        """
        advice = f"{LOWER_RATE}."
        if len(surface.faces) == 0:
            smaller = f"{LOWER_RATE}, or the weights of losses that shrink it."
            raise BrokenSurface("the surface has no faces any more", smaller)
        num_bad = int((~surface.vertices.isfinite()).any(dim=1).sum())
        if num_bad > 0:
            raise BrokenSurface(f"{num_bad} of {len(surface.vertices)} vertices of the surface are not finite", advice)
        reach = float(surface.vertices.detach().abs().max())
        if reach > _EXPLODED * self.config.radius:
            cube = f"its cube, which ends at {self.config.radius:g}"
            raise BrokenSurface(f"the surface reaches {reach:.3g} from the origin, far beyond {cube}", advice)
