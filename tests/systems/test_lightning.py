"""The shell: what it stops at, what it refuses to restore, what it keeps."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms, TermOutput, Update
from framework.systems.distillation import Distillation

step_of = Distillation.training_step


def spoil(monkeypatch: pytest.MonkeyPatch, when: int, value: float) -> None:
    """Add a loss called 'spoilt' that is `value` from step `when` on."""

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        terms = step_of(self, step)
        terms.add("losses.spoilt", TermOutput({"x": torch.tensor(value if step.step >= when else 0.0)}), weight=1.0)
        return terms

    monkeypatch.setattr(Distillation, "training_step", training_step)


def steps(run: RunDirectory) -> list[str]:
    return [path.stem for path in run.checkpoints()]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_stays_not_finite_stops_the_run_by_name_with_a_checkpoint(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    spoil(monkeypatch, 5, value)
    assert launch.small("trainer.checkpoint_every=2", "trainer.max_skipped_steps=2") == 2
    (run,) = launch.runs()
    assert steps(run) == ["step-000006", "step-000007"]
    assert run.state()["state"] == "failed" and run.state()["step"] == 6
    errors = capsys.readouterr().err
    assert errors == f"error: {run.state()['reason']}\n"
    assert errors == (
        "error: step 7: the loss of losses.spoilt is not finite, nor in the 2 steps before. The last good checkpoint is "
        f"{run.checkpoint(7)}. Lower the learning rate or that term's weight, or train in precision 32-true.\n"
    )
    before, after = (load_checkpoint(run.checkpoint(step))["state"]["system"] for step in (6, 7))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_may_be_told_to_skip_nothing(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, 5, math.nan)
    assert launch.small("trainer.max_skipped_steps=0") == 2
    assert "step 5: the loss of losses.spoilt is not finite. The last good" in capsys.readouterr().err


def spoil_gradient(monkeypatch: pytest.MonkeyPatch, at: Collection[int]) -> None:
    """Add a loss of which the value is finite and the gradient is not, in the steps of `at`."""
    step_of = Distillation.training_step

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        terms = step_of(self, step)
        if step.step in at:
            weights = self.scene.geometry.mlp.weights[0]
            terms.add("losses.steep", TermOutput({"x": (weights - weights.detach()).abs().sqrt().sum()}), weight=1.0)
        return terms

    monkeypatch.setattr(Distillation, "training_step", training_step)


def test_steps_without_a_finite_gradient_are_skipped_counted_and_told(
    launch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spoil_gradient(monkeypatch, {3, 4, 8})
    assert launch.small("trainer.checkpoint_every=1", "trainer.keep_checkpoints=99", "trainer.log_every=1") == 0
    (run,) = launch.runs()
    states = [load_checkpoint(run.checkpoint(step))["state"]["system"] for step in range(1, 11)]
    is_same = [
        all(torch.equal(new[name], old[name]) for name in new if "occupancy" not in name)
        for old, new in itertools.pairwise(states)
    ]
    assert [step + 1 for step in range(9) if is_same[step]] == [3, 4, 8]
    rows = list(csv.DictReader(run.metrics.read_text().splitlines()))
    assert [row["skipped_steps"] for row in rows] == ["", "", "", "1", "2", "2", "2", "2", "3", "3"]
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"step {step}: skipped, as the gradient of the losses is not finite." for step in (3, 8)]


def test_a_gradient_that_stays_not_finite_names_its_term(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_gradient(monkeypatch, range(4, 99))
    assert launch.small("trainer.max_skipped_steps=2") == 2
    message = "step 6: the gradient of losses.steep is not finite, nor in the 2 steps before."
    assert message in capsys.readouterr().err


def test_parameters_that_are_not_finite_are_never_saved(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def after_step(self: Distillation, step: StepInfo) -> None:
        if step.step == 3:
            torch.nn.init.constant_(self.scene.geometry.mlp.weights[0], math.nan)

    monkeypatch.setattr(Distillation, "after_step", after_step)
    assert launch.small("trainer.checkpoint_every=2") == 2
    (run,) = launch.runs()
    assert steps(run) == ["step-000002"]
    message = capsys.readouterr().err
    assert "step 4: the parameter scene.geometry.mlp.weights.0 is not finite" in message
    assert f"The last good checkpoint is {run.checkpoint(2)}" in message


def test_only_the_newest_checkpoints_are_kept(launch: Any) -> None:
    assert launch.small("trainer.checkpoint_every=3", "trainer.keep_checkpoints=2") == 0
    assert steps(launch.runs()[0]) == ["step-000009", "step-000010"]


def test_a_checkpoint_holds_the_config_and_counts_training_steps(launch: Any) -> None:
    assert launch.small() == 0
    content = load_checkpoint(launch.runs()[0].latest_checkpoint())
    assert content["step"] == 10
    assert content["config"]["system"]["scene"]["geometry"]["encoding"]["num_levels"] == 3
    assert {name.split(".")[0] for name in content["state"]["system"]} == {"scenes"}, "no weights of the prior"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "system.scene.geometry=voxel-grid",
            "holds scene.geometry 'density-field', but this config asks for 'voxel-grid'",
        ),
        (
            "system.scene.occupancy.resolution=9",
            "scene.occupancy.density is [8, 8, 8] there and [9, 9, 9] here",
        ),
        (
            "system.scene.background.is_learned=true",
            "is missing there and [3] here",
        ),
        (
            "system.optimizer.parameters={scene.geometry.mlp: {learning_rate: 0.1}}",
            "The checkpoint's optimizer trains the groups scene.geometry, this config scene.geometry, scene.geometry.mlp.",
        ),
    ],
)
def test_a_checkpoint_of_another_config_is_refused_and_left_alone(
    launch: Any, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    assert launch.small("trainer.max_steps=2") == 0
    (run,) = launch.runs()
    before = {path: path.read_bytes() for path in (run.latest_checkpoint(), run.config, run.root / "run.json")}
    extra = ["system.optimizer.parameters={scene.background: {learning_rate: 1}}"] if "background" in setting else []
    capsys.readouterr()
    assert launch.small("trainer.max_steps=4", f"resume={run.root}", setting, *extra) == 2
    error = capsys.readouterr().err
    assert error.count("error:") == 1 and message in error
    assert "Resume with the config of the run, or start a new one." in error
    assert steps(run) == ["step-000002"] and {path: path.read_bytes() for path in before} == before


def test_a_checkpoint_cut_short_is_named_and_the_one_before_goes_on(
    launch: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert launch.small("trainer.checkpoint_every=5") == 0
    (run,) = launch.runs()
    newest, older = run.checkpoint(10), run.checkpoint(5)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert launch.small(f"resume={newest}") == 2
    assert f"{newest}: is damaged or no checkpoint (1000 bytes" in capsys.readouterr().err
    assert launch.small(f"resume={run.root}") == 0
    assert f"Taking {older.name} instead." in caplog.text
    assert load_checkpoint(newest)["step"] == 10


def test_a_finished_run_can_be_prolonged(launch: Any) -> None:
    assert launch.small("trainer.max_steps=2") == 0
    (run,) = launch.runs()
    assert launch.small("trainer.max_steps=4", f"resume={run.root}") == 0
    assert launch.runs() == [run] and steps(run)[-1] == "step-000004"
    assert [line.split(",")[0] for line in (run.root / "metrics.csv").read_text().splitlines()] == [
        "step",
        "1",
        "2",
        "3",
        "4",
    ]
    assert "max_steps: 4" in run.config.read_text() and "resume: null" in run.config.read_text()


def test_a_run_leaves_its_config_images_metrics_and_logs(launch: Any) -> None:
    assert launch.small("trainer.validate_every=4") == 0
    (run,) = launch.runs()
    assert sorted(path.name for path in run.images.iterdir()) == [
        "views-000004.png",
        "views-000008.png",
        "views-000010.png",
    ]
    names = {path.name for path in Path(run.root).iterdir()}
    assert {"config.yaml", "run.json", "metrics.csv", "tensorboard", "checkpoints", "images"} <= names
    assert run.state()["state"] == "finished"


def test_an_update_moves_what_its_loss_depends_on_and_nothing_else(
    launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a scene with momentum stays where it is while something else is trained."""
    tables: list[Tensor] = []
    seen: list[int] = []

    def with_update(self: Distillation, step: StepInfo) -> LossTerms:
        terms = step_of(self, step)
        weights = self.scene.geometry.mlp.weights[0]
        table = next(self.scene.geometry.encoding.parameters())

        def loss(repeat: int) -> Tensor:
            seen.append(repeat)
            tables.append(table.detach().clone())
            return (weights - 3.0).square().sum()

        terms.add("extra", TermOutput(updates=[Update("pull", 3, loss)]), weight=1.0)
        return terms

    monkeypatch.setattr(Distillation, "training_step", with_update)
    assert launch.small("trainer.max_steps=4") == 0
    assert seen == [0, 1, 2] * 4
    for first in range(0, 12, 3):
        assert torch.equal(tables[first], tables[first + 1]) and torch.equal(tables[first], tables[first + 2])
    assert not torch.equal(tables[2], tables[3])
    (run,) = launch.runs()
    assert "loss/extra.pull" in run.metrics.read_text().splitlines()[0]


def test_accumulated_micro_steps_equal_the_larger_batch(launch_in: Any) -> None:
    states, rows = [], []
    for name, setting in (("batch", "system.streams.random.batch_size=2"), ("accumulated", "trainer.accumulate=2")):
        launch = launch_in(name)
        assert launch.small(setting, "trainer.max_steps=3") == 0
        (run,) = launch.runs()
        states.append(load_checkpoint(run.checkpoint(3))["state"]["system"])
        rows.append(next(csv.DictReader(run.metrics.read_text().splitlines())))
    for name, value in states[0].items():
        assert torch.allclose(value.float(), states[1][name].float(), rtol=1e-4, atol=1e-5), name
    for name in ("loss/total", "loss/losses.sparsity", "guidance.main/gradient_norm", "guidance.main/timestep"):
        assert float(rows[0][name]) == pytest.approx(float(rows[1][name]), rel=1e-4)
