"""Scenes to draw: exact shapes whose images are known, and small registered fields; fixtures of several folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from framework.backgrounds.solid_color import SolidColor
from framework.core.registries import GEOMETRIES, MATERIALS
from framework.core.step import named_generator
from framework.geometry.base import Geometry
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid, OccupancySettings
from framework.structures.field import FieldQuery, FieldSample

TORCH = {"hash-encoding": "torch", "mlp": "torch", "ray-sampling": "torch", "compositing": "torch"}


class Solid(Geometry):
    """Constant density in a ball, or in the whole cube; features are zero (grey), normals radial."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Geometry.Config):
        density: float = 1e4
        """Density inside."""
        ball: float | None = None
        """Radius of the ball."""
        center_x: float = 0.0
        """Where the ball stands on the x axis."""

    config: Config

    def query(self, query: FieldQuery) -> FieldSample:
        offsets = query.positions - query.positions.new_tensor([self.config.center_x, 0.0, 0.0])
        radii = offsets.norm(dim=1)
        is_inside = torch.ones_like(radii) if self.config.ball is None else (radii < self.config.ball).float()
        features = query.positions.new_zeros(len(radii), self.config.num_features)
        density, normals = self.config.density * is_inside, F.normalize(offsets, dim=1)
        return FieldSample(density=density, features=features, normals=normals)


@pytest.fixture
def make_solid() -> Callable[..., Scene]:
    """A scene of one `Solid` before white."""

    def make(*, material: str = "radiance", cells: int = 8, **settings: Any) -> Scene:
        geometry = Solid(Solid.Config(**settings), generator=named_generator(0, "solid"), backends=TORCH)
        return _scene(geometry, material, cells)

    return make


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """A scene of a registered geometry, with a blob in its middle, before white."""

    def make(geometry: str = "voxel-grid", *, material: str = "radiance", cells: int = 8, **settings: Any) -> Scene:
        config = GEOMETRIES.find(geometry).Config(**settings)
        shape = GEOMETRIES.build(config, generator=named_generator(0, "shape"), backends=TORCH)
        return _scene(shape, material, cells)

    return make


@pytest.fixture
def assemble() -> Callable[..., Scene]:
    """A scene of any geometry and a registered material, before white."""
    return lambda geometry, material: _scene(geometry, material, cells=1)


def _scene(geometry: Geometry, material: str, cells: int) -> Scene:
    generator = named_generator(1, "scene")
    config = MATERIALS.find(material).Config()
    return Scene(
        geometry=geometry,
        material=MATERIALS.build(config, num_features=geometry.config.num_features, generator=generator),
        background=SolidColor(SolidColor.Config(), generator=generator),
        occupancy=OccupancyGrid(OccupancySettings(resolution=cells)),
    )
