"""The `logger` section says where a run appears; the pictures of the report are there in any case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework.systems.local_dashboards import TensorBoard

ROOT = Path(__file__).resolve().parents[2]


def files(run: Any) -> set[str]:
    return {path.name for path in run.root.iterdir()}


def test_numbers_are_written_only_where_the_config_says_so(launch: Any) -> None:
    assert launch.small("trainer.max_steps=2", "logger={csv: false, tensorboard: false}") == 0
    (run,) = launch.runs()
    assert not {"metrics.csv", "tensorboard", "wandb"} & files(run)
    assert [path.name for path in run.images.iterdir()] == ["views-000002.png"] and "report.html" in files(run)


def test_a_dashboard_that_cannot_be_opened_is_a_warning(
    launch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such service")

    monkeypatch.setattr(TensorBoard, "__init__", fail)
    assert launch.small("trainer.max_steps=2") == 0
    (run,) = launch.runs()
    assert run.state()["state"] == "finished" and "metrics.csv" in files(run)
    assert "TensorBoard's log failed (RuntimeError: no such service). The run goes on without it." in caplog.messages


SILENT = """
import sys
from framework.cli.main import main

def train(*settings):
    return main(["--config", "configs/dreamfusion.yaml", *sys.argv[1:], "trainer.max_steps=1", *settings])

assert train() == 0
assert train("logger.wandb.offline=true") == 2
assert train("logger.wandb={project: p}", "--print-config") == 0
assert [name for name in sys.modules if name.split(".")[0] == "wandb"] == []
"""


def test_nothing_of_wandb_is_imported_unless_a_run_begins_that_is_logged_there(
    tmp_path: Path, small_settings: tuple[str, ...]
) -> None:
    command = [sys.executable, "-c", SILENT, *small_settings, f"output_root={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "logger.wandb.project: is missing" in done.stderr
