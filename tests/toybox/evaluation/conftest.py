"""Solids whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from jaxtyping import Bool
from torch import Tensor

from framework.export.isosurface import extract_surface
from framework.structures.mesh import Mesh
from framework.toybox.captions import parse_scene
from framework.toybox.evaluation.voxels import scene_cells
from framework.toybox.pack import ScenePack, albedo, signed_distance
from framework.toybox.scenes import Scene, SceneSpec, build


def scene_of(prompt: str) -> Scene:
    spec = parse_scene(prompt)
    nuisance = torch.rand(spec.num_nuisances, generator=torch.Generator().manual_seed(3))
    nuisance[1] = 0.5
    return build(spec, nuisance.tolist())


@cache
def painted_mesh_of(prompt: str, *, resolution: int = 64) -> Mesh:
    pack = ScenePack.from_scenes([scene_of(prompt)])
    line = torch.linspace(-0.85, 0.85, resolution)
    grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    distance = signed_distance(pack, grid.reshape(1, -1, 3))
    mesh = extract_surface(-distance.reshape(resolution, resolution, resolution), radius=0.85)
    return Mesh(mesh.vertices, mesh.faces, colors=albedo(pack, mesh.vertices[None])[0])


@pytest.fixture(scope="session")
def spec() -> Callable[[str], SceneSpec]:
    """What a prompt names."""
    return parse_scene


@pytest.fixture(scope="session")
def scene() -> Callable[[str], Scene]:
    """Some scene of a prompt, the same in every call, not turned."""
    return scene_of


@pytest.fixture(scope="session")
def painted() -> Callable[[str], Mesh]:
    """The surface of that scene, from its own signed distance, with the scene's colours at its vertices."""
    return painted_mesh_of


@pytest.fixture
def cells() -> Callable[[str], Bool[Tensor, "R R R"]]:
    """The cells of that scene."""
    return lambda prompt: scene_cells(scene_of(prompt))


@pytest.fixture
def ball() -> Callable[[float], Bool[Tensor, "R R R"]]:
    """The cells of a ball about the origin."""

    def filled(radius: float) -> Bool[Tensor, "R R R"]:
        line = (torch.arange(64) + 0.5) / 32 - 1
        x, y, z = torch.meshgrid(line, line, line, indexing="ij")
        return x**2 + y**2 + z**2 <= radius**2

    return filled
