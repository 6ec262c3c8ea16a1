"""Solids as cells."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from framework.export.isosurface import extract_surface
from framework.structures.mesh import Mesh
from framework.toybox.evaluation.voxels import cell_centers, intersection_over_union, scene_cells, voxelize
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.scenes import Scene


def mesh_of(scene: Scene, *, resolution: int = 96) -> Mesh:
    """The surface of a scene, from its own signed distance."""
    line = torch.linspace(-1, 1, resolution)
    grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    distance = signed_distance(ScenePack.from_scenes([scene]), grid.reshape(1, -1, 3))
    return extract_surface(-distance.reshape(resolution, resolution, resolution), radius=1.0)


def test_centres_of_cells_fill_the_cube_evenly() -> None:
    centers = cell_centers(4)
    assert centers[0, 1, 3].tolist() == [-0.75, -0.25, 0.75]


def test_a_sphere_fills_its_volume(scene: Callable[[str], Scene]) -> None:
    ball = scene("a sphere")
    radius = ball.parts[0].parameters[0]
    volume = float(scene_cells(ball).sum()) * (2 / 64) ** 3
    assert volume == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)


@pytest.mark.parametrize("prompt", ["a mug", "a chair", "a ring on top of a cube"])
def test_a_mesh_occupies_the_cells_of_the_scene_it_is_the_surface_of(
    prompt: str, scene: Callable[[str], Scene]
) -> None:
    assert intersection_over_union(voxelize(mesh_of(scene(prompt))), scene_cells(scene(prompt))) > 0.97


def test_a_mesh_need_not_be_closed(scene: Callable[[str], Scene]) -> None:
    mesh = mesh_of(scene("a cube"))
    is_kept = torch.arange(len(mesh.faces)) % 100 > 0
    assert intersection_over_union(voxelize(Mesh(mesh.vertices, mesh.faces[is_kept])), voxelize(mesh)) > 0.99


def test_no_faces_occupy_nothing() -> None:
    assert not voxelize(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))).any()


def test_overlap_counts_shared_cells_over_those_of_either() -> None:
    first, second = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    first[0], second[:, 0] = True, True
    assert intersection_over_union(first, second) == pytest.approx(2 / 6)
    assert intersection_over_union(first & False, second & False) == 0.0
