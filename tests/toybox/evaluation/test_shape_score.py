"""Calibration: solids whose score is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from jaxtyping import Bool
from torch import Tensor

from framework.export.isosurface import extract_surface
from framework.structures.mesh import Mesh
from framework.toybox.captions import caption
from framework.toybox.evaluation.ellipsoid import best_ellipsoid
from framework.toybox.evaluation.shape_score import cells_score, shape_score
from framework.toybox.evaluation.voxels import scene_cells
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.parts import turn
from framework.toybox.scenes import Scene, SceneSpec

Cells = Callable[[str], Bool[Tensor, "R R R"]]
Spec = Callable[[str], SceneSpec]


def score(cells: Bool[Tensor, "R R R"], spec: SceneSpec) -> float:
    value = cells_score(cells, spec, with_margin=False).score
    assert value is not None
    return value


def moved(scene: Scene, *, yaw_deg: float = 0.0, shift: float = 0.0, scale: float = 1.0) -> Bool[Tensor, "R R R"]:
    """The cells of a scene that is scaled, shifted along x, then turned."""
    parts = [part.transformed(turn("z", yaw_deg), np.array([shift, 0, 0]), scale) for part in scene.parts]
    return scene_cells(Scene(scene.spec, tuple(parts)))


@pytest.mark.parametrize("prompt", ["a red chair", "a white mug", "a green cube on top of a blue cylinder"])
def test_the_scene_itself_scores_one(prompt: str, cells: Cells, spec: Spec) -> None:
    assert score(cells(prompt), spec(prompt)) > 0.9


def test_the_surface_of_the_scene_scores_one_and_has_no_better_name(scene: Callable[[str], Scene], spec: Spec) -> None:
    line = torch.linspace(-1, 1, 96)
    grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    distance = signed_distance(ScenePack.from_scenes([scene("a table")]), grid.reshape(1, -1, 3))
    mesh = extract_surface(-distance.reshape(96, 96, 96), radius=1.0)
    result = shape_score(mesh, spec("a brown table"))
    assert result.score is not None and result.score > 0.9
    assert result.margin is not None and result.margin > 0.3


def test_a_toy_with_a_front_may_not_turn(scene: Callable[[str], Scene], spec: Spec) -> None:
    assert score(moved(scene("a chair"), yaw_deg=180), spec("a chair")) < 0.75
    assert score(moved(scene("a chair"), yaw_deg=90), spec("a chair")) < 0.75


def test_a_thing_without_a_front_may_turn(scene: Callable[[str], Scene], spec: Spec) -> None:
    assert score(moved(scene("a mug"), yaw_deg=130), spec("a mug")) > 0.9


def test_a_toy_mirrored_front_to_back_loses(cells: Cells, spec: Spec) -> None:
    assert score(cells("a chair").flip(0), spec("a chair")) < 0.75


def test_upside_down_loses(cells: Cells, spec: Spec) -> None:
    assert score(cells("a table").flip(2), spec("a table")) < 0.5


@pytest.mark.parametrize("change", [{"scale": 0.75}, {"scale": 1.3}, {"shift": 0.12}])
def test_sizes_out_of_range_and_shifts_lose(
    change: dict[str, float], scene: Callable[[str], Scene], spec: Spec
) -> None:
    assert score(moved(scene("a cube"), **change), spec("a cube")) < 0.6


@pytest.mark.parametrize("prompt", ["a chair", "a rocket", "a cube"])
def test_the_fitted_ellipsoid_scores_zero(prompt: str, cells: Cells, spec: Spec) -> None:
    blob = best_ellipsoid(cells(prompt)).cells(64)
    # Never above; a little below where the scene that is most like the blob is even more like another blob.
    assert -0.15 < score(blob, spec(prompt)) < 0.02


def test_another_scene_scores_low_and_is_named(cells: Cells, spec: Spec) -> None:
    result = cells_score(cells("a table"), spec("a duck"))
    assert result.score is not None and result.score < 0.0
    assert result.margin is not None and result.margin < -0.5
    assert result.best_wrong is not None and caption(result.best_wrong) == "a table"


def test_a_sphere_has_an_overlap_but_no_score(cells: Cells, spec: Spec) -> None:
    result = cells_score(cells("a sphere"), spec("a sphere"), with_margin=False)
    assert result.iou > 0.97 and result.score is None and result.margin is None


def test_nothing_scores_below_a_blob(spec: Spec) -> None:
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    result = shape_score(empty, spec("a cube"), with_margin=False)
    assert result.iou == 0.0 and result.score is not None and result.score < 0.0


def test_colours_and_views_do_not_matter(cells: Cells, spec: Spec) -> None:
    solid = cells("a cone")
    named = [cells_score(solid, spec(p), with_margin=False).iou for p in ("a cone", "a black cone, back view")]
    assert named[0] == named[1]


def test_scoring_twice_gives_the_same_numbers(cells: Cells, spec: Spec) -> None:
    first, second = (cells_score(cells("a bowl"), spec("a bowl"), with_margin=False) for _ in range(2))
    assert (first.iou, first.ellipsoid_iou) == (second.iou, second.ellipsoid_iou)
