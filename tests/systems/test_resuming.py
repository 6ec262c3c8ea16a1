"""A run that was killed and resumed ends as one that was not, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.bench.kills import CONFIGS, differences
from framework.bench.small import small_settings
from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms
from framework.systems.distillation import Distillation
from framework.systems.lightning import Shell


class Killed(Exception):
    """Stands for the power cut."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], None]:
    """Make the system die in training step `step`; the returned function heals it."""
    whole = Distillation.training_step

    def dying(self: Distillation, now: StepInfo) -> LossTerms:
        if now.step == step:
            raise Killed
        return whole(self, now)

    monkeypatch.setattr(Distillation, "training_step", dying)
    return lambda: monkeypatch.setattr(Distillation, "training_step", whole)


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Make the next training die when it has done so many steps, counted over its stages."""
    whole, calls = Shell.training_step, iter(range(steps))

    def dying(self: Shell, batch: Any, batch_index: int) -> None:
        if next(calls, None) is None:
            monkeypatch.setattr(Shell, "training_step", whole)
            raise Killed
        whole(self, batch, batch_index)

    monkeypatch.setattr(Shell, "training_step", dying)


def ends(run: RunDirectory) -> dict[str, Any]:
    """The last tensors and all logged numbers, of each stage."""
    assert run.state()["state"] == "finished"
    return {
        str(stage.root.relative_to(run.root)): [
            load_checkpoint(stage.latest_checkpoint())["state"],
            stage.metrics.read_text(),
        ]
        for stage in run.stages() or [run]
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_run_of_any_debug_config_killed_twice_ends_as_one_that_was_not(
    path: Path, launch_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken = launch_in("straight"), launch_in("broken")
    often = ("trainer.checkpoint_every=2", "trainer.log_every=1", "trainer.validate_every=0", "export=null")
    settings = (*small_settings(path, max_steps=5), *often)
    assert straight(path, *settings) == 0

    for resume, steps in (((), 3), (("resume=last",), 2)):
        kill_after(monkeypatch, steps)
        with pytest.raises(Killed):
            broken(path, *settings, *resume)
    assert broken(path, *settings, "resume=last") == 0

    assert differences(ends(straight.runs()[0]), ends(broken.runs()[0])) == []


def test_a_run_killed_before_its_first_checkpoint_begins_again_in_its_folder(
    launch_in: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, broken = launch_in("straight"), launch_in("broken")
    assert straight.small() == 0
    kill_after(monkeypatch, 3)
    with pytest.raises(Killed):
        broken.small()
    (run,) = broken.runs()
    leftover = run.checkpoint(1).parent / ".step-000001-abcdefgh.ckpt"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")

    assert broken.small("resume=last") == 0

    assert "The run was stopped before its first checkpoint, and begins again.\n" in capsys.readouterr().out
    assert broken.runs() == [run] and not leftover.exists()
    assert differences(ends(straight.runs()[0]), ends(run)) == []


def final(run: RunDirectory) -> dict[str, Any]:
    assert run.state()["state"] == "finished"
    return load_checkpoint(run.checkpoint(10))


@pytest.mark.parametrize(
    "saved_at",
    [pytest.param(4, id="before the grid's update of step 4"), pytest.param(5, id="after the grid's update of step 4")],
)
def test_resumed_equals_uninterrupted_bit_for_bit(
    launch_in: Any, monkeypatch: pytest.MonkeyPatch, saved_at: int
) -> None:
    straight, broken = launch_in("straight"), launch_in("broken")
    assert straight.small() == 0

    heal = kill_at(monkeypatch, saved_at + 1)
    with pytest.raises(Killed):
        broken.small(f"trainer.checkpoint_every={saved_at}")
    (run,) = broken.runs()
    assert run.state()["state"] == "failed"
    assert [path.stem for path in run.checkpoints()] == [f"step-{saved_at:06d}"]
    saved = load_checkpoint(run.checkpoint(saved_at))["state"]
    heal()
    assert broken.small("resume=last") == 0

    assert broken.runs() == [run]
    one, other = final(straight.runs()[0])["state"], final(run)["state"]
    assert differences(one, other) == []
    moved = differences(saved, other)
    assert any(path.startswith(".optimizer") for path in moved), "the optimizer must matter for the test to mean much"
    assert ".system.scenes.0.occupancy.density" in moved
    grid = one["system"]["scenes.0.occupancy.is_occupied"]
    assert grid.any() and not grid.all()


def test_an_evaluation_in_between_changes_nothing(launch_in: Any) -> None:
    often, never = launch_in("often"), launch_in("never")
    assert often.small("trainer.validate_every=2", "trainer.checkpoint_every=3", "trainer.log_every=2") == 0
    assert never.small("trainer.validate_every=0") == 0
    assert differences(final(often.runs()[0])["state"], final(never.runs()[0])["state"]) == []


def test_another_seed_ends_elsewhere(launch_in: Any) -> None:
    one, other = launch_in("one"), launch_in("other")
    one.small()
    other.small("seed=1")
    assert differences(final(one.runs()[0])["state"], final(other.runs()[0])["state"])
