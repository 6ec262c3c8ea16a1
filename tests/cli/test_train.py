"""Faults that are found before training starts: one message, status 2, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["prior=/nowhere/model"], "There is no model folder at '/nowhere/model'."),
        (["prior={type: toybox, folder: nowhere}"], "The weights of the toybox prior are not at 'nowhere'."),
        (["resume=nowhere/run"], "nowhere/run: there is no such run folder."),
        (["resume=last"], "holds no unfinished run of the prompt 'a snowman'."),
        (["backends={mlp: tinycudann}"], "backends.mlp: "),
        (["backends={mpl: torch}"], "backends.mpl: "),
        (
            ["system.optimizer.parameters={scene.geometri: {learning_rate: 1}}"],
            "system.optimizer.parameters.scene.geometri: matches no trainable parameter. "
            "Did you mean 'scene.geometry'?",
        ),
        (
            ["system.scene.background.is_learned=true"],
            "'scene.background.logit' would not be trained: no path covers it. Add one, such as 'scene.background'.",
        ),
        (
            ["system.losses.sparsity.stream=radnom"],
            "system.losses.sparsity.stream: no stream is called 'radnom'. Did you mean 'random'? (command line)",
        ),
    ],
)
def test_a_fault_is_one_message_and_leaves_no_run_behind(
    launch: Any, capsys: pytest.CaptureFixture[str], settings: list[str], message: str
) -> None:
    assert launch.small(*settings) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("error:") == 1
    assert [path for path in launch.output_root.rglob("*") if path.is_file()] == []


def test_an_output_folder_that_cannot_be_written_is_one_message(
    launch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert launch.small(f"output_root={tmp_path}/file") == 2
    assert "error: output_root: cannot write to" in capsys.readouterr().err


@pytest.mark.parametrize("number", [-1, 1000])
def test_a_device_that_does_not_exist_is_one_message(
    launch: Any, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("configs/debug/analytic.yaml", f"--gpu={number}") == 2
    errors = capsys.readouterr().err
    assert f"error: --gpu {number}: this machine has {torch.cuda.device_count()} CUDA devices." in errors


def test_words_that_the_oracle_does_not_know_are_refused(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.small("prior={type: oracle, views: 8}", "prompt=a purple dinosaur") == 2
    errors = capsys.readouterr().err
    assert "dinosaur" in errors and errors.count("error:") == 1
