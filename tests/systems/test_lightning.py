"""The shell: what it stops at, what it refuses to restore, what it keeps."""

from __future__ import annotations

import math
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
def test_a_loss_that_is_not_finite_stops_the_run_by_name_and_keeps_the_last_good_checkpoint(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    spoil(monkeypatch, 5, value)
    assert launch.small("trainer.checkpoint_every=2") == 2
    (run,) = launch.runs()
    assert steps(run) == ["step-000002", "step-000004"]
    assert run.state()["state"] == "failed" and run.state()["step"] == 4
    errors = capsys.readouterr().err
    assert errors == f"error: {run.state()['reason']}\n"
    assert errors == (
        f"error: step 5: the loss of losses.spoilt is not finite. The last good checkpoint is {run.checkpoint(4)}. "
        "Lower the learning rate or that term's weight, or train in precision 32-true.\n"
    )


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


def test_a_checkpoint_cut_short_is_refused_and_an_older_one_goes_on(
    launch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.small("trainer.checkpoint_every=5") == 0
    (run,) = launch.runs()
    newest, older = run.checkpoint(10), run.checkpoint(5)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert launch.small(f"resume={run.root}") == 2
    assert f"{newest}: is damaged or no checkpoint (1000 bytes" in capsys.readouterr().err
    assert launch.small(f"resume={older}") == 0
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
