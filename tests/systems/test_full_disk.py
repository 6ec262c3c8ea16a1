from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core import checkpoint
from framework.core.checkpoint import load_checkpoint, save_checkpoint
from framework.systems.full_disk import DiskFull, Writes


def fill(monkeypatch: pytest.MonkeyPatch, *, until: int) -> list[int]:
    """Let the disk have no room for the first checkpoints; returns a list that grows with the attempts."""
    attempts: list[int] = []
    whole = torch.save

    def save(content: Any, file: Any) -> None:
        attempts.append(content["step"])
        if len(attempts) <= until:
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError:
                raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904  (as torch does)
        whole(content, file)

    monkeypatch.setattr(checkpoint.torch, "save", save)
    return attempts


def test_a_full_disk_delays_checkpoints_and_says_so_once(
    launch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = fill(monkeypatch, until=3)

    assert launch.small("trainer.checkpoint_every=2", "trainer.keep_checkpoints=9") == 0

    (run,) = launch.runs()
    assert attempts == [2, 4, 6, 8, 10]
    assert [path.stem for path in run.checkpoints()] == ["step-000008", "step-000010"]
    told = [record.message for record in caplog.records if "disk" in record.message]
    assert told[0].startswith("The disk is full: the checkpoint of step 2 cannot be written (No space left on device).")
    assert told[1:] == ["There is room on the disk again: the checkpoint of step 8 is written."]


def test_too_many_missed_checkpoints_stop_the_run_and_the_last_good_one_stays(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.small("trainer.max_steps=2") == 0
    (run,) = launch.runs()
    fill(monkeypatch, until=99)

    settings = ("trainer.checkpoint_every=1", "trainer.max_missed_checkpoints=2", f"resume={run.root}")
    assert launch.small(*settings) == 2

    assert "The disk is full, and the checkpoint of step 5 could not be written, number 3 in a row." in (
        capsys.readouterr().err
    )
    assert run.state()["state"] == "failed"
    assert load_checkpoint(run.latest_checkpoint())["step"] == 2


def test_a_last_checkpoint_without_room_is_an_error(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(monkeypatch, until=99)
    assert launch.small() == 2
    assert "the checkpoint of step 10, the last one, could not be written. Kept: none." in capsys.readouterr().err


def test_other_errors_are_not_taken_for_a_full_disk() -> None:
    def forbidden() -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        Writes(max_missed_checkpoints=1).attempt(forbidden, "a row")


def test_missed_checkpoints_count_only_in_a_row() -> None:
    writes, rooms = Writes(max_missed_checkpoints=1), [False, True, False, True, False, False]

    def write() -> None:
        if not rooms.pop(0):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    assert [writes.attempt_checkpoint(write, "it") for _ in range(5)] == [False, True, False, True, False]
    with pytest.raises(DiskFull):
        writes.attempt_checkpoint(write, "it")


def test_a_checkpoint_that_finds_no_room_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "step-000001.ckpt"
    save_checkpoint(path, config={}, step=1, state={})
    fill(monkeypatch, until=1)
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(path, config={}, step=1, state={"x": torch.zeros(1)})
    assert load_checkpoint(path)["state"] == {} and [item.name for item in tmp_path.iterdir()] == [path.name]
