"""The judge without a network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jaxtyping import Bool
from torch import Tensor

from framework.toybox.captions import caption, is_scene
from framework.toybox.evaluation.identity import best_wrong, is_same_shape, vocabulary
from framework.toybox.families import FAMILIES
from framework.toybox.scenes import SceneSpec

Cells = Callable[[str], Bool[Tensor, "R R R"]]
Spec = Callable[[str], SceneSpec]


def test_the_vocabulary_has_every_shape_once() -> None:
    specs = vocabulary()
    assert all(is_scene(spec) for spec in specs)
    assert not any(is_same_shape(a, b) for i, a in enumerate(specs) for b in specs[:i])
    assert len(specs) == len(FAMILIES) + 7 * 3 + 7 * 8 // 2


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("a red cube", "a blue cube, front view", True),
        ("a cube next to a cone", "a cone next to a cube", True),
        ("a cube on top of a cylinder", "a cylinder on top of a cube", False),
        ("a cube on top of a sphere", "a cube next to a sphere", False),
        ("a cube", "a sphere", False),
    ],
)
def test_captions_differ_in_shape_only_where_solids_do(first: str, second: str, is_same: bool, spec: Spec) -> None:
    assert is_same_shape(spec(first), spec(second)) is is_same


@pytest.mark.parametrize("prompt", ["a table", "a cone", "a sphere on top of a cube"])
def test_a_scene_under_another_name_is_recognised(prompt: str, cells: Cells, spec: Spec) -> None:
    wrong, iou = best_wrong(cells(prompt), spec("a duck"))
    assert caption(wrong) == prompt
    assert iou > 0.85


def test_the_named_scene_is_never_the_wrong_one(cells: Cells, spec: Spec) -> None:
    wrong, _ = best_wrong(cells("a cube next to a ring"), spec("a red ring next to a blue cube"))
    assert not is_same_shape(wrong, spec("a ring next to a cube"))
