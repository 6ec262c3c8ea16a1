"""Questions and answers."""

from __future__ import annotations

import pytest
import torch

from framework.toybox.captions import parse_scene
from framework.toybox.judge.labels import CHOICES, UNASKED, answers, canonical, label_tensor


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
    assert answers(parse_scene(prompt)) == right


def test_objects_side_by_side_have_no_order_but_stacked_ones_do() -> None:
    assert answers(parse_scene("a red cone next to a blue cube")) == answers(
        parse_scene("a blue cube next to a red cone")
    )
    assert answers(parse_scene("a red cube next to a blue cube")) == answers(
        parse_scene("a blue cube next to a red cube")
    )
    above, below = parse_scene("a red cube on top of a blue sphere"), parse_scene("a blue sphere on top of a red cube")
    assert answers(above) != answers(below)
    assert canonical(above) == above


def test_labels_number_the_answers_and_mark_what_is_not_asked() -> None:
    labels = label_tensor([parse_scene("a red cube"), None, parse_scene("a snowman")])
    assert labels.keys() == CHOICES.keys()
    relation = CHOICES["relation"]
    assert [relation[i] for i in labels["relation"]] == ["single", "reject", "single"]
    assert labels["first"][1] == UNASKED and labels["first_color"].tolist()[1:] == [UNASKED, UNASKED]
    assert torch.equal(labels["second"], torch.full((3,), UNASKED))
