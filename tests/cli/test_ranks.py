"""Several processes: who starts them, where each stands, and what becomes of them when one ends."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from framework.cli import ranks
from framework.cli.main import build_parser
from framework.cli.train import device
from framework.core.errors import ConfigError, UserError
from framework.core.run_config import RunConfig, TrainerConfig
from framework.systems.placement import place

ROOT = Path(__file__).resolve().parents[2]
SLURM = {"SLURM_NTASKS": "6", "SLURM_NTASKS_PER_NODE": "3", "SLURM_PROCID": "4", "SLURM_LOCALID": "1"}
SLURM |= {"SLURM_NODEID": "1", "SLURM_NODELIST": "node[7-8]", "SLURM_JOB_ID": "123456", "SLURM_JOB_NAME": "train"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "4", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}
BY_HAND = {"NODE_RANK": "1", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment without what names a rank; restored afterwards."""
    for name in {*SLURM, *TORCHRUN, *BY_HAND, "MASTER_ADDR", "MASTER_PORT", "SLURM_NNODES"}:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("given", [SLURM, TORCHRUN, BY_HAND], ids=["SLURM", "torchrun", "by hand"])
def test_a_process_finds_its_place_among_those_that_others_started(
    environment: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    assert ranks.place() is None
    for name, value in given.items():
        environment.setenv(name, value)
    found = place()
    assert found is not None
    assert (found.rank, found.count, found.local_rank, found.local_count) == (4, 6, 1, 3)
    if given is SLURM:
        assert os.environ["MASTER_ADDR"] == "node7" and os.environ["MASTER_PORT"] == "18456"


def test_one_task_of_a_scheduler_is_alone(environment: pytest.MonkeyPatch) -> None:
    for name, value in {**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}.items():
        environment.setenv(name, value)
    assert place() is None


def options(*arguments: str) -> argparse.Namespace:
    return build_parser().parse_intermixed_args(list(arguments))


def test_devices_of_the_command_line_are_counted_before_those_of_the_config() -> None:
    configs = {"": RunConfig(name="x", trainer=TrainerConfig(devices=3), system=None)}
    assert ranks.wanted(options(), configs) == 3
    assert ranks.wanted(options("--gpu", "0,1"), configs) == 2
    with pytest.raises(ConfigError, match=r"all stages of a run need the same number, got \[1, 3\]"):
        ranks.wanted(options(), {**configs, "b": RunConfig(name="x", system=None)})


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [device([2, 3], rank).index for rank in (0, 1)] == [2, 3]
    assert [device(None, rank).index for rank in range(4)] == [0, 1, 2, 3]
    with pytest.raises(UserError, match=r"--gpu 3,4: this machine has 4 CUDA devices"):
        device([3, 4], 0)
    with pytest.raises(UserError, match="There are more processes than the 2 CUDA devices"):
        device([0, 1], 2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match="There are more processes than the 1 CUDA devices"):
        device(None, 1)
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert device(None, 3).index == 0, "a scheduler may show each process its own device alone"


@pytest.mark.parametrize(
    ("statuses", "killed", "received", "status", "said"),
    [
        ([0, 0], [], [], 0, ""),
        ([2, 2], [], [], 2, ""),
        ([143, 143], [], [signal.SIGTERM], 143, ""),
        ([-15, -15], [], [signal.SIGTERM], 143, ""),
        ([-9, 2], [], [], 137, "error: rank 0 was ended by SIGKILL, rank 1 has ended with status 2, and so"),
        ([-9, -11], [0], [], 2, "error: rank 1 was ended by SIGSEGV, and so has ended the run."),
    ],
)
def test_what_the_first_rank_could_not_tell_is_told(
    capsys: pytest.CaptureFixture[str],
    statuses: list[int],
    killed: list[int],
    received: list[int],
    status: int,
    said: str,
) -> None:
    assert ranks._status(statuses, killed, received) == status
    error = capsys.readouterr().err
    assert error.startswith(said) and bool(error) == bool(said)


def test_a_rank_whose_starter_is_gone_asks_itself_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    asked: list[tuple[int, int]] = []
    monkeypatch.setenv("DISTILL3D_LIFELINE", str(reader))
    monkeypatch.setattr("framework.cli.ranks.os.kill", lambda *call: asked.append(call))
    ranks._hold_lifeline()
    time.sleep(0.05)
    assert asked == [] and "DISTILL3D_LIFELINE" not in os.environ
    os.close(writer)
    deadline = time.monotonic() + 10
    while not asked and time.monotonic() < deadline:
        time.sleep(0.01)
    os.close(reader)
    assert asked == [(os.getpid(), signal.SIGTERM)]


def test_a_rank_that_dies_ends_the_run_with_one_message(launch: Any, small: tuple[str, ...]) -> None:
    settings = [*small, "trainer.max_steps=100000", "trainer.checkpoint_every=5", f"output_root={launch.output_root}"]
    command = [sys.executable, str(ROOT / "launch.py"), "--config", str(ROOT / "configs/dreamfusion.yaml"), *settings]
    process = subprocess.Popen([*command, "trainer.devices=2"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while not any(run.checkpoints() for run in launch.runs()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        (run,) = launch.runs()
        started = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (second,) = [int(number) for number in started if int(number) != run.state()["pid"]]
        os.kill(second, signal.SIGKILL)
        _, error = process.communicate(timeout=120)
    finally:
        process.terminate()
        process.wait()
    assert process.returncode == 2
    assert error.decode().count("error:") == 1 and "Traceback" not in error.decode(), error.decode()
    assert "another process of this run has ended without a word" in error.decode()
    assert f"go on with resume={run.root}" in error.decode()
    assert run.state()["state"] == "failed" and "another process" in run.state()["reason"]
