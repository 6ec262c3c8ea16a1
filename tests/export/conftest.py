"""Analytic scenes: fields of density and colour given as functions, drawn by the real volume renderer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import trimesh
from shiny import shiny
from torch import Tensor

from framework.backgrounds.solid_color import SolidColor
from framework.core.step import StepInfo, named_generator
from framework.export.texturing import bake, unwrap
from framework.geometry.base import Geometry
from framework.materials.base import Material
from framework.materials.lambertian import Lambertian
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid
from framework.renderers.volume import Volume
from framework.structures.field import FieldQuery, FieldSample
from framework.structures.mesh import Mesh

Function = Callable[[Tensor], Tensor]


class AnalyticField(Geometry):
    """Density (N,) and albedo (N, 3), or all that a material takes from features, as functions of positions (N, 3).

    Normals are those of a ball about the origin.
    """

    def __init__(self, density: Function, albedo: Function) -> None:
        super().__init__(Geometry.Config(), generator=named_generator(0, "field"), backends={})
        self._density, self._albedo = density, albedo

    def query(self, query: FieldQuery) -> FieldSample:
        features = torch.logit(self._albedo(query.positions), eps=1e-4)
        normals = F.normalize(query.positions, dim=1)
        return FieldSample(density=self._density(query.positions), features=features, normals=normals)


@pytest.fixture
def step() -> StepInfo:
    return StepInfo(step=10, max_steps=10, mode="export")


@pytest.fixture
def renderer() -> Volume:
    return Volume(Volume.Config(), backends={})


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    def make(density: Function, albedo: Function = torch.ones_like, material: Material | None = None) -> Scene:
        generator = named_generator(0, "scene")
        return Scene(
            geometry=AnalyticField(density, albedo),
            material=material or Lambertian(Lambertian.Config(), num_features=3, generator=generator),
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


@pytest.fixture
def shiny_ball() -> Mesh:
    """A ball of radius 0.5 whose base colour, roughness, metallic and normals change over its surface."""
    solid = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    vertices = torch.tensor(solid.vertices, dtype=torch.float32)
    ball = Mesh(vertices, torch.tensor(solid.faces.copy()), normals=F.normalize(vertices, dim=1))
    return bake(unwrap(ball, texture_size=256, padding=4), shiny, texture_size=256)
