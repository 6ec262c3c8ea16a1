"""Front and back: calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from framework.structures.mesh import Mesh
from framework.toybox.colors import COLORS
from framework.toybox.evaluation.facing import Facing, facing
from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.scenes import Scene

MakeScene = Callable[[str], Scene]
MakeMesh = Callable[[str], Mesh]

FRONTED = ["a chair", "a snowman", "a duck", "a fish"]
HALF_TURN = torch.tensor([-1.0, -1.0, 1.0])


def measured(mesh: Mesh, scene: Scene) -> Facing | None:
    return facing(MeshSurface(mesh), SceneSurface(scene, count=2000, generator=torch.Generator().manual_seed(0)))


def turned(mesh: Mesh) -> Mesh:
    return dataclasses.replace(mesh, vertices=mesh.vertices * HALF_TURN)


def two_faced(mesh: Mesh) -> Mesh:
    """The half in front, and once more, turned, behind."""
    assert mesh.colors is not None
    faces = mesh.faces[mesh.vertices[mesh.faces][:, :, 0].mean(dim=1) > 0.0]
    vertices = torch.cat([mesh.vertices, mesh.vertices * HALF_TURN])
    return Mesh(vertices, torch.cat([faces, faces + len(mesh.vertices)]), colors=mesh.colors.repeat(2, 1))


@pytest.mark.parametrize("prompt", FRONTED)
def test_the_scene_itself_faces_the_front_and_turned_the_back(prompt: str, scene: MakeScene, painted: MakeMesh) -> None:
    found = measured(painted(prompt), scene(prompt))
    assert found is not None and found.is_front_right and found.is_back_right
    assert min(found.front_margin, found.back_margin) > 0.7
    found = measured(turned(painted(prompt)), scene(prompt))
    assert found is not None and not found.is_front_right and not found.is_back_right
    assert max(found.front_margin, found.back_margin) < -0.7


@pytest.mark.parametrize("prompt", FRONTED)
def test_a_front_on_both_sides_is_wrong_behind(prompt: str, scene: MakeScene, painted: MakeMesh) -> None:
    found = measured(two_faced(painted(prompt)), scene(prompt))
    assert found is not None and found.is_front_right and not found.is_back_right
    assert found.back_margin < -0.6


def test_a_front_is_known_by_its_colours_alone(scene: MakeScene, painted: MakeMesh) -> None:
    # What tells the front of a rocket is little but its window.
    mesh = painted("a rocket")
    plain = dataclasses.replace(mesh, colors=torch.tensor(COLORS["red"]).expand_as(mesh.vertices))
    colored, red = measured(mesh, scene("a rocket")), measured(plain, scene("a rocket"))
    assert colored is not None and red is not None
    assert colored.is_front_right and not red.is_front_right


def test_mirrored_front_to_back_is_wrong_and_left_to_right_is_not(scene: MakeScene, painted: MakeMesh) -> None:
    mesh = painted("a duck")
    back, side = (
        dataclasses.replace(mesh, vertices=mesh.vertices * torch.tensor(signs), faces=mesh.faces.flip(1))
        for signs in ([-1.0, 1.0, 1.0], [1.0, -1.0, 1.0])
    )
    wrong, right = measured(back, scene("a duck")), measured(side, scene("a duck"))
    assert wrong is not None and not wrong.is_front_right and not wrong.is_back_right
    assert right is not None and right.is_front_right and right.is_back_right


def test_what_fits_neither_way_is_not_right(scene: MakeScene, painted: MakeMesh) -> None:
    found = measured(painted("a purple sphere"), scene("a duck"))
    assert found is not None and not (found.is_front_right and found.is_back_right)


@pytest.mark.parametrize("prompt", ["a mug", "a tree", "a cube on top of a sphere"])
def test_what_has_no_front_does_not_face_anywhere(prompt: str, scene: MakeScene, painted: MakeMesh) -> None:
    assert measured(painted(prompt), scene(prompt)) is None
