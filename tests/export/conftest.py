"""Analytic scenes: fields of density and colour given as functions, drawn by the real volume renderer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.backgrounds.solid_color import SolidColor
from framework.core.step import StepInfo, named_generator
from framework.export.texturing import bake, unwrap
from framework.geometry.base import Geometry
from framework.materials.lambertian import Lambertian
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid
from framework.renderers.volume import Volume
from framework.structures.field import FieldQuery, FieldSample
from framework.structures.mesh import Mesh

Function = Callable[[Tensor], Tensor]


class AnalyticField(Geometry):
    """Density (N,) and albedo (N, 3) as functions of positions (N, 3)."""

    def __init__(self, density: Function, albedo: Function) -> None:
        super().__init__(Geometry.Config(), generator=named_generator(0, "field"), backends={})
        self._density, self._albedo = density, albedo

    def query(self, query: FieldQuery) -> FieldSample:
        features = torch.logit(self._albedo(query.positions), eps=1e-4)
        return FieldSample(density=self._density(query.positions), features=features)


@pytest.fixture
def step() -> StepInfo:
    return StepInfo(step=10, max_steps=10, mode="export")


@pytest.fixture
def renderer() -> Volume:
    return Volume(Volume.Config(), backends={})


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    def make(density: Function, albedo: Function = torch.ones_like) -> Scene:
        generator = named_generator(0, "scene")
        return Scene(
            geometry=AnalyticField(density, albedo),
            material=Lambertian(Lambertian.Config(), num_features=3, generator=generator),
            background=SolidColor(SolidColor.Config(), generator=generator),
            occupancy=OccupancyGrid(),
        )

    return make


@pytest.fixture
def cube() -> Mesh:
    """An axis-aligned cube of side 1 about the origin, 12 triangles."""
    line = torch.tensor([-0.5, 0.5])
    vertices = torch.cartesian_prod(line, line, line)  # vertex 4 x + 2 y + z
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = torch.tensor([[q[i] for i in corners] for q in quads for corners in ((0, 1, 2), (0, 2, 3))])
    return Mesh(vertices, faces, normals=Mesh(vertices, faces).vertex_normals())


@pytest.fixture
def painted_cube(cube: Mesh) -> Mesh:
    """The cube with a baked texture whose colour is 0.5 plus 0.8 times the position."""

    def color(positions: Tensor, normals: Tensor) -> Tensor:
        return 0.5 + 0.8 * positions

    return bake(unwrap(cube, texture_size=128, padding=4), color, texture_size=128)
