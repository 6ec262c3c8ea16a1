"""Damaged checkpoints are refused, whatever the damage."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from framework.bench import checkpoints
from framework.bench.checkpoints import DAMAGE, Code, Refusal, refusals
from framework.core.checkpoint import save_checkpoint


def two_checkpoints(folder: Path) -> list[Path]:
    paths = [folder / f"step-00000{step}.ckpt" for step in (2, 4)]
    for path in paths:
        save_checkpoint(path, config={"system": {}}, step=2, state={"system": {"x": torch.zeros(900)}, "optimizer": {}})
    return paths


def test_every_kind_of_damage_is_refused_replaced_and_never_unpickled(tmp_path: Path) -> None:
    found = list(refusals(two_checkpoints(tmp_path), 3 * len(DAMAGE), tmp_path / "damaged", seed=1))
    assert [item.damage for item in found[: len(DAMAGE)]] == [name for name, _ in DAMAGE]
    assert {(item.is_clear, item.is_replaced, item.ran_code, item.was_unpickled) for item in found} == {
        (True, True, False, False)
    }


def test_a_reader_that_unpickles_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "DAMAGE", [("a pickle of code", checkpoints._pickled)])
    monkeypatch.setattr(checkpoints, "load_checkpoint", lambda path: pickle.loads(path.read_bytes()))
    (found,) = refusals(two_checkpoints(tmp_path), 1, tmp_path / "damaged", seed=1)
    assert found == Refusal("a pickle of code", is_clear=False, is_replaced=True, ran_code=True, was_unpickled=True)


def test_the_code_in_damaged_checkpoints_would_leave_a_trace(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Code(str(tmp_path / "trace"))))
    assert (tmp_path / "trace").is_dir()
