"""Questions and answers."""

from __future__ import annotations

import pytest
import torch

from framework.toybox.captions import parse_prompt
from framework.toybox.judge.labels import CHOICES, UNASKED, answers, canonical, label_tensor
from framework.toybox.scenes import SceneSpec


def spec_of(prompt: str) -> SceneSpec:
    spec = parse_prompt(prompt)
    assert spec is not None
    return spec


@pytest.mark.parametrize(
    ("prompt", "right"),
    [
        ("a red cube, front view", {"relation": "single", "first": "cube", "first_color": "red"}),
        ("a cube", {"relation": "single", "first": "cube"}),
        ("a snowman", {"relation": "single", "first": "snowman"}),
        (
            "a red cone on top of a blue cube",
            {
                "relation": "on top of",
                "first": "cone",
                "first_color": "red",
                "second": "cube",
                "second_color": "blue",
            },
        ),
    ],
)
def test_a_caption_raises_the_questions_that_it_answers(prompt: str, right: dict[str, str]) -> None:
    assert answers(spec_of(prompt)) == right


def test_objects_side_by_side_have_no_order_but_stacked_ones_do() -> None:
    assert answers(spec_of("a red cone next to a blue cube")) == answers(spec_of("a blue cube next to a red cone"))
    assert answers(spec_of("a red cube next to a blue cube")) == answers(spec_of("a blue cube next to a red cube"))
    above, below = spec_of("a red cube on top of a blue sphere"), spec_of("a blue sphere on top of a red cube")
    assert answers(above) != answers(below)
    assert canonical(above) == above


def test_labels_number_the_answers_and_mark_what_is_not_asked() -> None:
    labels = label_tensor([spec_of("a red cube"), None, spec_of("a snowman")])
    assert labels.keys() == CHOICES.keys()
    relation = CHOICES["relation"]
    assert [relation[i] for i in labels["relation"]] == ["single", "reject", "single"]
    assert labels["first"][1] == UNASKED and labels["first_color"].tolist()[1:] == [UNASKED, UNASKED]
    assert torch.equal(labels["second"], torch.full((3,), UNASKED))
