"""Shapes to start from, as signed distances: to their surface, negative inside, world units.

Gradients with respect to the positions are those of the distance, unit vectors, also on the surface itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.component import Component
from framework.core.errors import UserError
from framework.core.registries import SHAPE_INITIALIZATIONS
from framework.geometry.mesh_file import load_mesh, signed_volume, warn_of_irregular_edges, welded
from framework.ops.backends import AUTO
from framework.ops.mesh_raycasting import RayCaster
from framework.structures.mesh import Mesh
from framework.structures.surface import interpolate

_ITERATIONS = 16
_OFF_AXIS = 1e-5


class ShapeInitialization(Component, ABC):
    """A shape that is known before training; it has nothing to train."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, backends: dict[str, str]) -> None:
        """Build with `backends`, which names requested implementations by operation."""
        self.config = config
        self.backends = backends

    @abstractmethod
    def signed_distance(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance of world positions to the surface, negative inside, world units."""


@SHAPE_INITIALIZATIONS.register("sphere")
class Sphere(ShapeInitialization):
    """A ball in the middle."""

    @dataclass(kw_only=True, frozen=True)
    class Config(ShapeInitialization.Config):
        radius: float = 0.5
        """Of the ball, world units."""

        def __post_init__(self) -> None:
            if self.radius <= 0.0:
                raise ValueError(f"radius must be positive, got {self.radius:g}.")

    config: Config

    def signed_distance(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance of world positions to the surface, negative inside, world units."""
        return positions.norm(dim=1) - self.config.radius


@SHAPE_INITIALIZATIONS.register("ellipsoid")
class Ellipsoid(ShapeInitialization):
    """An ellipsoid in the middle, its axes along those of the world."""

    @dataclass(kw_only=True, frozen=True)
    class Config(ShapeInitialization.Config):
        radii: tuple[float, float, float] = (0.5, 0.5, 0.5)
        """Half axes along x, y and z, world units."""

        def __post_init__(self) -> None:
            if min(self.radii) <= 0.0:
                raise ValueError(f"radii must be positive, got {self.radii}.")

    config: Config

    def signed_distance(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance of world positions to the surface, negative inside, world units."""
        nearest = _nearest_on_ellipsoid(positions.detach(), positions.new_tensor(self.config.radii))
        outward = F.normalize(nearest / positions.new_tensor(self.config.radii).square(), dim=1)
        # The nearest point lies along the normal, so that this is the distance, and its gradient is the normal.
        return ((positions - nearest) * outward).sum(dim=1)


@SHAPE_INITIALIZATIONS.register("mesh")
class MeshShape(ShapeInitialization):
    """The solid that a mesh file encloses, which must be nearly closed."""

    @dataclass(kw_only=True, frozen=True)
    class Config(ShapeInitialization.Config):
        path: str
        """The file: GLB, OBJ, PLY or another kind that trimesh reads."""
        size: float | None = 1.4
        """Longest side of its bounding box after it was centred, world units; null leaves it as it is in the file."""
        up: Literal["auto", "y", "z"] = "auto"
        """Axis of the file that points up; y for glTF and OBJ and z for all others by default."""

        def __post_init__(self) -> None:
            if self.size is not None and self.size <= 0.0:
                raise ValueError(f"size must be positive, got {self.size:g}.")

    config: Config

    def __init__(self, config: Config, *, backends: dict[str, str]) -> None:
        """Read the file.

        Raises:
            UserError: If it cannot be used as a mesh, or encloses nothing.
        """
        super().__init__(config, backends=backends)
        mesh = welded(load_mesh(config.path, up=config.up, size=config.size))
        volume = signed_volume(mesh)
        if volume <= 0.0:
            raise UserError(
                f"{config.path}: encloses no solid: its signed volume is {volume:.3g}. Close it, and turn its faces "
                "so that they are counter-clockwise seen from outside."
            )
        warn_of_irregular_edges(mesh, config.path)
        self.solid = MeshDistance(mesh, backend=backends.get("mesh-raycasting", AUTO))

    def signed_distance(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance of world positions to the surface, negative inside, world units."""
        return self.solid(positions)


class MeshDistance:
    """Signed distance to a mesh, on the device of the positions.

    Args:
        mesh: Nearly closed, counter-clockwise seen from outside; its graph is not kept.
        backend: Implementation of the operation `mesh-raycasting`.
    """

    def __init__(self, mesh: Mesh, *, backend: str = AUTO) -> None:
        self._vertices, self._faces, self._backend = mesh.vertices.detach(), mesh.faces, backend
        self._casters: dict[torch.device, RayCaster] = {}

    def __call__(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
        """Distance of world positions to the mesh, negative inside, world units."""
        points, caster = positions.detach().float(), self._caster(positions.device)
        hits = caster.nearest(points)
        nearest = interpolate(
            self._vertices.to(points.device), self._faces.to(points.device), hits.face, hits.barycentric
        )
        sign = 1.0 - 2.0 * caster.inside(points).float()
        distance = (sign * hits.distance).to(positions.dtype)
        outward = (sign[:, None] * F.normalize(points - nearest, dim=1)).to(positions.dtype)
        return distance + ((positions - positions.detach()) * outward).sum(dim=1)

    def _caster(self, device: torch.device) -> RayCaster:
        if device not in self._casters:
            vertices, faces = self._vertices.to(device), self._faces.to(device)
            self._casters[device] = RayCaster(vertices, faces, backend=self._backend)
        return self._casters[device]


def _nearest_on_ellipsoid(positions: Float[Tensor, "N 3"], radii: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
    """The point of the surface that is nearest to each position.

    It is r_i^2 p_i / (r_i^2 + t) for the largest t at which that lies on the surface. Newton's method on the
    reciprocal of |r_i p_i / (r_i^2 + t)|, which is almost linear in t, climbs to it from below (More and Sorensen,
    1983). Positions are moved off the planes of symmetry, where inside points may have two nearest ones.
    """
    sign = torch.where(positions < 0.0, -1.0, 1.0)
    scaled = radii * positions.abs().clamp_min(_OFF_AXIS * float(radii.min()))  # r_i p_i
    root = (scaled - radii.square()).amax(dim=1, keepdim=True)
    for _ in range(_ITERATIONS):
        terms = scaled / (radii.square() + root)
        length = terms.norm(dim=1, keepdim=True)
        slope = (terms.square() / (radii.square() + root)).sum(dim=1, keepdim=True)
        root = root + (length - 1.0) * length.square() / slope
    return sign * radii * F.normalize(scaled / (radii.square() + root), dim=1)
