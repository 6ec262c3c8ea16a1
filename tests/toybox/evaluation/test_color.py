"""Colours of meshes: calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from framework.structures.mesh import Mesh
from framework.toybox.colors import COLORS
from framework.toybox.evaluation.color import ColorScore, color_score
from framework.toybox.evaluation.color_difference import ciede2000, lab
from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.scenes import Scene, SceneSpec, build

Spec = Callable[[str], SceneSpec]
MakeMesh = Callable[[str], Mesh]


def middle(spec: SceneSpec) -> Scene:
    """The middle scene of a caption."""
    return build(spec, [0.5] * spec.num_nuisances)


def measured(mesh: Mesh, scene: Scene) -> ColorScore:
    return color_score(MeshSurface(mesh), SceneSurface(scene, count=2000, generator=torch.Generator().manual_seed(0)))


def recolored(mesh: Mesh, name: str) -> Mesh:
    return dataclasses.replace(mesh, colors=torch.tensor(COLORS[name]).expand_as(mesh.vertices))


@pytest.mark.parametrize("prompt", ["a green chair", "a red robot", "a blue cube next to a pink cone"])
def test_the_colours_of_the_scene_itself_are_right(
    prompt: str, scene: Callable[[str], Scene], painted: MakeMesh
) -> None:
    found = measured(painted(prompt), scene(prompt))
    assert found.error < 2.0  # details are blurred by the vertices
    assert sum(part.area for part in found.parts) == pytest.approx(1.0)
    assert sum(part.area * part.error for part in found.parts) == pytest.approx(found.error, rel=1e-4)


@pytest.mark.parametrize("prompt", ["a green chair", "a red robot", "a cyan boat"])
def test_other_proportions_and_another_shade_still_have_the_name(prompt: str, spec: Spec, painted: MakeMesh) -> None:
    found = measured(painted(prompt), middle(spec(prompt)))
    assert found.named is not None and found.named > 0.8
    assert found.error < 10.0 and found.name == prompt.split()[1]


def test_a_mesh_of_another_colour_is_off_by_the_difference_of_the_two(spec: Spec, painted: MakeMesh) -> None:
    found = measured(recolored(painted("a chair"), "blue"), middle(spec("a red chair")))
    red, blue = lab(torch.tensor([COLORS["red"], COLORS["blue"]]))
    assert found.error == pytest.approx(float(ciede2000(red, blue)), rel=1e-3)
    assert (found.named, found.name) == (0.0, "blue")


def test_without_a_colour_in_the_caption_the_typical_one_is_right(spec: Spec, painted: MakeMesh) -> None:
    mesh = painted("a table")
    assert measured(recolored(mesh, "brown"), middle(spec("a table"))).named == 1.0
    assert measured(recolored(mesh, "brown"), middle(spec("a green table"))).named == 0.0


def test_details_do_not_count_as_the_colour_of_the_caption(spec: Spec, painted: MakeMesh) -> None:
    found = measured(recolored(painted("a cactus"), "green"), middle(spec("a green cactus")))
    assert found.named == 1.0
    worst = max(found.parts, key=lambda part: part.error)
    assert found.error > 3.0 and worst.color[0] > 0.7  # the pink blossom or the pot of clay


def test_each_of_two_things_has_its_own_colour(spec: Spec, painted: MakeMesh) -> None:
    mesh = painted("a blue cube on top of a red cylinder")
    right, swapped = (
        measured(mesh, middle(spec(prompt))).named
        for prompt in ("a blue cube on top of a red cylinder", "a red cube on top of a blue cylinder")
    )
    assert right == pytest.approx(1.0, abs=0.1) and swapped == pytest.approx(0.0, abs=0.1)


def test_a_small_and_distant_mesh_still_has_its_colour(spec: Spec, painted: MakeMesh) -> None:
    mesh = painted("a red mug")
    far = dataclasses.replace(mesh, vertices=0.7 * mesh.vertices + 0.3)
    assert measured(far, middle(spec("a red mug"))).named == 1.0
