"""The report that a run leaves, and `--report`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from framework.cli.main import main
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms, TermOutput
from framework.systems.distillation import Distillation

SHORT = ("trainer.max_steps=3", "trainer.validate_every=1")


def test_a_run_leaves_a_report_and_it_can_be_made_again(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch.small(*SHORT) == 0
    (run,) = launch.runs()
    text = run.report.read_text()
    assert "  report.html\n" in capsys.readouterr().out
    assert "views, step 3" in text and text.count("<polyline") >= 4
    noted = run.state()
    assert noted["seconds"] > 0.0 and noted["made_by"]["versions"]["torch"] in text

    run.report.unlink()
    assert main(["--report", "--run", str(run.root)]) == 0
    assert capsys.readouterr().out == f"{run.report}\n"
    assert run.report.read_text() == text

    run.report.unlink()
    assert main(["--validate", "--run", str(run.root)]) == 0
    assert run.report.is_file()


def test_a_resumed_run_adds_to_its_time(launch: Any) -> None:
    assert launch.small(*SHORT) == 0
    (run,) = launch.runs()
    run.note({"seconds": 1000.0})
    begun = run.state()["started"]
    assert launch.small(*SHORT, f"resume={run.root}") == 0
    assert run.state()["seconds"] > 1000.0 and run.state()["started"] == begun


def test_a_broken_log_is_a_warning(launch: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert launch.small(*SHORT) == 0
    (run,) = launch.runs()
    run.metrics.write_bytes(b"\xff\xfe\x00")
    caplog.clear()
    assert main(["--report", "--run", str(run.root)]) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "metrics.csv cannot be read" in caplog.text
    assert "metrics.csv cannot be read" in run.report.read_text()


def test_a_report_that_fails_does_not_fail_the_run(
    launch: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(directory: RunDirectory) -> None:
        raise KeyError("metrics\ncolumn")

    monkeypatch.setattr("framework.report.page.write_report", broken)
    assert launch.small(*SHORT) == 0
    (run,) = launch.runs()
    assert run.state()["state"] == "finished" and not run.report.exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "The report could not be written (KeyError: " in caplog.text
    assert "report.html" not in capsys.readouterr().out


def test_a_run_that_diverges_leaves_a_report_that_says_so(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        terms = LossTerms()
        terms.add("losses.spoilt", TermOutput({"spoilt": torch.tensor(math.nan)}), weight=1.0)
        return terms

    monkeypatch.setattr(Distillation, "training_step", training_step)
    assert launch.small(*SHORT, "trainer.max_skipped_steps=0") == 2
    (run,) = launch.runs()
    assert run.state()["state"] == "failed" and "losses.spoilt is not finite" in run.state()["reason"]
    assert "losses.spoilt is not finite" in run.report.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--report"], "--run is missing"), (["--report", "--run", "nowhere"], "nowhere: there is no such run folder.")],
)
def test_a_run_that_is_not_there_is_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
