"""SLURM jobs: which one this is, and putting it back into the queue."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from framework.core import slurm

JOB = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train"}


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job, wherever the tests run."""
    for name in (*JOB, "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, None),
        (JOB, "77"),
        ({**JOB, "SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": "3"}, "70_3"),
        ({**JOB, "SLURM_JOB_NAME": "interactive"}, None),
        ({"SLURM_JOB_ID": "77"}, None),
    ],
)
def test_a_job_is_what_srun_has_started_unless_somebody_sits_in_front_of_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str | None
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert slurm.job() == name and not slurm.is_restarted()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert slurm.is_restarted() == (name is not None)


def scontrol(folder: Path, monkeypatch: pytest.MonkeyPatch, *, status: int = 0) -> Path:
    """A `scontrol` that writes down what it is asked; returns the file."""
    asked, program = folder / "asked", folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\necho "no such job" >&2\nexit {status}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return asked


def test_the_first_process_of_a_job_puts_it_back_into_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = scontrol(tmp_path, monkeypatch)
    slurm.requeue()
    for key, value in {**JOB, "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(key, value)
    slurm.requeue()
    assert not asked.exists()
    monkeypatch.setenv("SLURM_PROCID", "0")
    with caplog.at_level(logging.INFO, logger="framework"):
        slurm.requeue()
    assert asked.read_text() == "requeue 77\n"
    assert caplog.messages == ["SLURM job 77 is in the queue again."]


def test_a_job_that_cannot_be_queued_again_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for key, value in JOB.items():
        monkeypatch.setenv(key, value)
    scontrol(tmp_path, monkeypatch, status=1)
    slurm.requeue()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    slurm.requeue()
    assert [message.partition(" failed ")[2] for message in caplog.messages] == [
        "(no such job). Submit the job again with resume=last.",
        "(No such file or directory). Submit the job again with resume=last.",
    ]
