"""All scores together: calibration on meshes whose scores are known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
import torch

from framework.export.simplification import decimate
from framework.export.texturing import bake, unwrap
from framework.structures.mesh import Mesh
from framework.toybox.colors import COLORS
from framework.toybox.evaluation.scores import MeshScores, evaluate_mesh
from framework.toybox.pack import ScenePack, albedo
from framework.toybox.scenes import Scene, SceneSpec

Spec = Callable[[str], SceneSpec]
MakeScene = Callable[[str], Scene]
MakeMesh = Callable[[str], Mesh]


@pytest.fixture(scope="module")
def chair(painted: MakeMesh) -> Mesh:
    return painted("a green chair")


@pytest.fixture(scope="module")
def scored(spec: Spec) -> Callable[[Mesh], MeshScores]:
    """The scores of a mesh as a green chair."""
    return lambda mesh: evaluate_mesh(mesh, spec("a green chair"), with_margin=False)


@pytest.fixture(scope="module")
def own(chair: Mesh, scored: Callable[[Mesh], MeshScores]) -> MeshScores:
    return scored(chair)


def test_the_scene_itself_has_full_marks(own: MeshScores) -> None:
    assert own.iou > 0.93 and own.shape_score is not None and own.shape_score > 0.9
    assert own.surface.f_score_2 > 0.95 and own.surface.f_score_1 > 0.8
    assert own.color is not None and own.color.error < 6.0 and own.color.named == 1.0
    assert own.facing is not None and own.facing.is_front_right and own.facing.is_back_right
    assert own.topology.is_watertight and own.topology.num_components == 1
    assert own.margin is None and own.best_wrong is None


def test_half_a_turn_loses_the_facing_and_not_the_topology(
    chair: Mesh, own: MeshScores, scored: Callable[[Mesh], MeshScores]
) -> None:
    found = scored(dataclasses.replace(chair, vertices=chair.vertices * torch.tensor([-1.0, -1.0, 1.0])))
    assert found.facing is not None and not found.facing.is_front_right and not found.facing.is_back_right
    assert found.iou < 0.75 and found.topology == own.topology
    assert found.color is not None and found.color.named == 1.0


def test_another_colour_loses_the_colour_only(
    chair: Mesh, own: MeshScores, scored: Callable[[Mesh], MeshScores]
) -> None:
    purple = torch.tensor(COLORS["purple"]).expand_as(chair.vertices)
    found = scored(dataclasses.replace(chair, colors=purple))
    assert found.color is not None and found.color.error > 40.0 and found.color.named == 0.0
    assert found.color.name == "purple"
    assert (found.iou, found.surface, found.topology) == (own.iou, own.surface, own.topology)


def test_small_and_aside_it_loses_place_and_size_but_not_the_name_of_its_colour(
    chair: Mesh, scored: Callable[[Mesh], MeshScores]
) -> None:
    found = scored(dataclasses.replace(chair, vertices=0.7 * chair.vertices + torch.tensor([0.3, 0.0, 0.0])))
    assert found.iou < 0.3 and found.surface.f_score_2 < 0.5
    assert found.color is not None and found.color.named == 1.0


def test_a_mug_may_turn_so_that_its_mirror_image_is_one(spec: Spec, painted: MakeMesh) -> None:
    mug = painted("a mug")
    mirrored = dataclasses.replace(mug, vertices=mug.vertices * torch.tensor([1.0, -1.0, 1.0]), faces=mug.faces.flip(1))
    found = evaluate_mesh(mirrored, spec("a mug"), with_margin=False)
    assert found.iou > 0.9 and found.surface.f_score_2 > 0.9 and found.facing is None


def test_a_textured_mesh_is_scored_by_its_texture(
    chair: Mesh, scene: MakeScene, scored: Callable[[Mesh], MeshScores]
) -> None:
    pack = ScenePack.from_scenes([scene("a green chair")])
    plain = decimate(Mesh(chair.vertices, chair.faces), max_faces=1500)
    mesh = bake(
        unwrap(plain, texture_size=256, padding=4),
        lambda positions, _: albedo(pack, positions[None])[0],
        texture_size=256,
    )
    found = scored(mesh)
    assert found.color is not None and found.color.named == 1.0 and found.color.error < 6.0
    assert found.surface.f_score_2 > 0.95 and found.topology.num_components == 1
    assert found.topology.uv_overlap is not None and found.topology.uv_overlap < 0.01


def test_nothing_scores_nothing(scored: Callable[[Mesh], MeshScores]) -> None:
    found = scored(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)))
    assert (found.iou, found.surface.f_score_1, found.surface.f_score_2) == (0.0, 0.0, 0.0)
    assert found.surface.chamfer is None and found.color is None
    assert found.facing is not None and not found.facing.is_front_right and not found.facing.is_back_right
    assert found.topology.num_faces == 0


def test_scores_are_plain_values(own: MeshScores) -> None:
    values = own.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["topology"]["is_watertight"] is True and values["color"]["parts"][0]["area"] > 0.0


def test_each_mesh_under_the_next_prompt_has_a_better_name(spec: Spec, painted: MakeMesh) -> None:
    prompts = ["a chair", "a table", "a cone on top of a cube"]
    for shown, named in zip(prompts, [*prompts[1:], prompts[0]], strict=True):
        found = evaluate_mesh(painted(shown), spec(named))
        assert found.margin is not None and found.margin < -0.2
        assert found.best_wrong == shown
        assert found.surface.f_score_2 < 0.8
