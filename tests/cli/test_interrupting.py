"""Ctrl-C: the first finishes the step, saves and draws; the second quits. SIGTERM does as the first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms
from framework.systems.distillation import Distillation

ROOT = Path(__file__).resolve().parents[2]
whole_step = Distillation.training_step


def press(monkeypatch: pytest.MonkeyPatch, *, when: int, times: int, signals: signal.Signals = signal.SIGINT) -> None:
    """Have the user press Ctrl-C during training step `when`, or somebody send another signal."""

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        for _ in range(times if step.step == when else 0):
            signal.raise_signal(signals)
        return whole_step(self, step)

    monkeypatch.setattr(Distillation, "training_step", training_step)


def has_logged(run: RunDirectory) -> bool:
    """Whether the run has finished a step."""
    path = run.root / "metrics.csv"
    return path.is_file() and len(path.read_text().splitlines()) > 1


def test_ctrl_c_finishes_the_step_saves_draws_and_can_be_resumed(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    press(monkeypatch, when=3, times=1)
    assert launch.small() == 130
    (run,) = launch.runs()
    assert run.state()["state"] == "interrupted" and run.state()["step"] == 4
    assert load_checkpoint(run.latest_checkpoint())["step"] == 4
    assert [path.name for path in run.images.iterdir()] == ["views-000004.png"]
    output = capsys.readouterr().out
    assert "Stopping after this step; press Ctrl-C again to quit at once." in output
    assert f"Stopped and saved. Go on with: resume={run.root}\n" in output
    assert signal.getsignal(signal.SIGINT) is handler

    assert launch.small("resume=last") == 0
    assert launch.runs() == [run] and run.state()["state"] == "finished"


def test_a_process_that_is_asked_to_end_saves_however_often_it_is_asked(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    press(monkeypatch, when=3, times=2, signals=signal.SIGTERM)
    assert launch.small() == 143
    (run,) = launch.runs()
    assert run.state()["state"] == "interrupted"
    assert load_checkpoint(run.latest_checkpoint())["step"] == 4
    assert "Stopping after this step: the process was asked to end." in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_slurm_job_whose_time_is_up_saves_is_queued_again_and_the_same_command_goes_on(
    launch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    job = {"ID": "77", "NAME": "train"}
    task = {"NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in {**{f"JOB_{key}": item for key, item in job.items()}, **task}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    press(monkeypatch, when=3, times=2, signals=signal.SIGUSR1)
    assert launch.small() == 128 + signal.SIGUSR1
    (run,) = launch.runs()
    assert run.state()["state"] == "interrupted" and run.state()["slurm_job"] == "77"
    assert load_checkpoint(run.latest_checkpoint())["step"] == 4
    assert asked.read_text() == "requeue 77\n"

    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    press(monkeypatch, when=3, times=9, signals=signal.SIGKILL)  # That step is done: it does not come again.
    assert launch.small() == 0
    assert launch.runs() == [run] and run.state()["state"] == "finished"
    assert launch.small("trainer.max_steps=3") == 0  # Another run of the same job begins anew.
    assert len(launch.runs()) == 2


def test_a_second_ctrl_c_quits_at_once(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    press(monkeypatch, when=3, times=2)
    assert launch.small("trainer.checkpoint_every=2") == 130
    (run,) = launch.runs()
    assert run.state()["state"] == "failed"
    assert [path.stem for path in run.checkpoints()] == ["step-000002"]
    assert capsys.readouterr().err == "Interrupted.\n"
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_is_interrupted_exits_with_status_130_and_a_checkpoint(
    launch: Any, small_settings: tuple[str, ...]
) -> None:
    settings = [*small_settings, "trainer.max_steps=100000", f"output_root={launch.output_root}"]
    command = [sys.executable, str(ROOT / "launch.py"), "--config", str(ROOT / "configs/dreamfusion.yaml"), *settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 120
        while not any(has_logged(run) for run in launch.runs()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    (run,) = launch.runs()
    assert run.state()["state"] == "interrupted"
    assert load_checkpoint(run.latest_checkpoint())["step"] == run.state()["step"] > 0
