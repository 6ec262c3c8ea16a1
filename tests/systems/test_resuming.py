"""A run that was killed and resumed ends as one that was not, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms
from framework.systems.distillation import Distillation


class Killed(Exception):
    """Stands for the power cut."""


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Paths at which two trees of tensors and plain values differ."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [path]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [place for key in one for place in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [place for index, (a, b) in pairs for place in differences(a, b, f"{path}[{index}]")]
    return [] if type(one) is type(other) and one == other else [path]


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], None]:
    """Make the system die in training step `step`; the returned function heals it."""
    whole = Distillation.training_step

    def dying(self: Distillation, now: StepInfo) -> LossTerms:
        if now.step == step:
            raise Killed
        return whole(self, now)

    monkeypatch.setattr(Distillation, "training_step", dying)
    return lambda: monkeypatch.setattr(Distillation, "training_step", whole)


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
