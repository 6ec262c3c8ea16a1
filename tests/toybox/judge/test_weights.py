"""Writing and reading judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from framework.core.errors import UserError
from framework.toybox.judge.network import Judge
from framework.toybox.judge.weights import WEIGHTS, load_judge, save_judge


def test_a_saved_judge_answers_alike(tmp_path: Path) -> None:
    judge = Judge((8, 8, 16, 16))
    save_judge(judge, tmp_path, card={"steps": 3})
    loaded, images = load_judge(tmp_path), torch.rand(2, 64, 64, 3)
    for name, value in judge(images).items():
        torch.testing.assert_close(loaded(images)[name], value, rtol=0, atol=2e-2)
    assert json.loads((tmp_path / "card.json").read_text()) == {"steps": 3}


def test_a_missing_judge_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no judge at .*judge\.safetensors"):
        load_judge(tmp_path)


def test_a_damaged_judge_is_named(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"not tensors")
    with pytest.raises(UserError, match="cannot be read"):
        load_judge(tmp_path)


def test_a_judge_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / WEIGHTS, metadata={"widths": "[8]", "choices": '{"relation": ["one"]}'})
    with pytest.raises(UserError, match="another vocabulary"):
        load_judge(tmp_path)
