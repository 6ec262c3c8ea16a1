"""The judge that comes with the package."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from framework.toybox.judge.quality import trust
from framework.toybox.judge.weights import CARD, WEIGHTS, bundled_folder, load_judge

MIB = 2**20


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundled_folder() / CARD).read_text(encoding="utf-8"))
    return content


def test_it_is_small_and_its_card_says_how_it_was_made_and_how_far_it_can_be_trusted(card: dict[str, Any]) -> None:
    assert (bundled_folder() / WEIGHTS).stat().st_size <= 4 * MIB
    assert card["recipe"]["system"]["type"] == "judge-training" and card["made_by"]["machine"]
    assert card["quality"]["cases"] == 200


def test_it_does_on_fresh_cases_what_its_card_says(card: dict[str, Any]) -> None:
    found = trust(load_judge(), count=20, generator=torch.Generator().manual_seed(4))
    assert found["true renders"]["objects"] >= card["quality"]["true renders"]["objects"] - 0.15
    for fault in ("blob", "noise", "another scene"):
        assert found["not taken for the prompt"][fault] >= 0.95
