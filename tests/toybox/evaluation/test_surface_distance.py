"""Distances between surfaces: calibration on meshes whose distance is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from framework.structures.mesh import Mesh
from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.evaluation.surface_distance import SurfaceDistance, surface_distance
from framework.toybox.scenes import Scene

MakeScene = Callable[[str], Scene]
MakeMesh = Callable[[str], Mesh]


def measured(mesh: Mesh, scene: Scene) -> SurfaceDistance:
    generator = torch.Generator().manual_seed(0)
    return surface_distance(
        MeshSurface(mesh), SceneSurface(scene, count=3000, generator=generator), generator=generator
    )


def moved(mesh: Mesh, *, scale: float = 1.0, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    return dataclasses.replace(mesh, vertices=scale * mesh.vertices + torch.tensor(shift))


@pytest.mark.parametrize("prompt", ["a chair", "a mug", "a duck", "a cube on top of a cylinder"])
def test_the_surface_of_the_scene_itself_is_at_no_distance(prompt: str, scene: MakeScene, painted: MakeMesh) -> None:
    found = measured(painted(prompt), scene(prompt))
    assert found.f_score_1 > 0.95 and found.f_score_2 > 0.99
    assert found.chamfer is not None and found.chamfer < 0.004


def test_spheres_of_two_radii_are_apart_by_the_difference(scene: MakeScene, painted: MakeMesh) -> None:
    # The longest side is the diameter, so radii that differ by 3 % are 1.5 % of it apart.
    found = measured(moved(painted("a sphere"), scale=1.03), scene("a sphere"))
    assert found.chamfer == pytest.approx(0.015, abs=1e-3)
    assert found.f_score_1 < 0.01 and found.f_score_2 > 0.99


def test_half_a_sphere_is_found_in_half_of_it(scene: MakeScene, painted: MakeMesh) -> None:
    mesh = painted("a sphere")
    is_upper = mesh.vertices[mesh.faces][:, :, 2].mean(dim=1) > 0.0
    found = measured(dataclasses.replace(mesh, faces=mesh.faces[is_upper]), scene("a sphere"))
    # Precision 1; recall one half and the strip within 2 % of the diameter below the rim.
    assert found.f_score_2 == pytest.approx(2 * 0.52 / 1.52, abs=0.02)


@pytest.mark.parametrize("change", [{"scale": 0.7}, {"shift": (0.3, 0.0, 0.0)}])
def test_sizes_and_places_matter(change: dict[str, object], scene: MakeScene, painted: MakeMesh) -> None:
    assert measured(moved(painted("a chair"), **change), scene("a chair")).f_score_2 < 0.6  # type: ignore[arg-type]


def test_an_inner_wall_lowers_the_precision(scene: MakeScene, painted: MakeMesh) -> None:
    mesh = painted("a sphere")
    inner = torch.cat([mesh.vertices, 0.8 * mesh.vertices])
    hollow = Mesh(inner, torch.cat([mesh.faces, mesh.faces.flip(1) + len(mesh.vertices)]))
    precision = 1.0 / (1.0 + 0.8**2)
    assert measured(hollow, scene("a sphere")).f_score_2 == pytest.approx(2 * precision / (1 + precision), abs=0.02)
