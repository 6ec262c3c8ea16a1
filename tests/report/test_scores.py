"""Scores of any form as rows."""

from __future__ import annotations

import math

from framework.report.scores import all_scores, main_scores

TREE = {
    "iou": 0.95,
    "is_right": False,
    "notes": ["a", "b"],
    "views": [{"name": "front", "psnr": 27.0}, {"name": "back", "psnr": math.nan}],
    "best": None,
}


def test_rows_are_named_by_their_path() -> None:
    rows = {score.name: score.text for score in all_scores(TREE)}
    assert rows == {
        "iou": "0.95",
        "is right": "no",
        "notes": "a, b",
        "views / 1 / name": "front",
        "views / 1 / psnr": "27",
        "views / 2 / name": "back",
        "views / 2 / psnr": "nan",
        "best": "none",
    }


def test_main_scores_are_the_numbers_nearest_to_the_root() -> None:
    assert [score.name for score in main_scores(TREE)] == ["iou"]
    assert [score.name for score in main_scores({"a": {"x": 1, "y": 2, "z": 3}}, count=2)] == ["a / x", "a / y"]


def test_nothing_and_too_much_are_no_trouble() -> None:
    assert all_scores(None) == [] and all_scores(3.0) == [] and main_scores({"a": "b"}) == []
    assert len(all_scores(list(range(10)))) == 0
    assert len(all_scores({str(k): k for k in range(5000)})) == 300
