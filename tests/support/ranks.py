"""Runs of several processes for tests: one start of the processes, many command lines, one after the other.

    results = run_together(2, [Job("one", ["--config", ...]), ...], folder)

As a script it is one of the processes: `ranks.py JOBS.json FOLDER`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """A command line for all processes.

    Attributes:
        name: Of what is kept of it.
        arguments: For `launch.py`.
        trouble: What befalls rank 1 in step 3: nothing, `nan` (its loss is no number) or `SIGTERM`.
    """

    name: str
    arguments: list[str]
    trouble: str = ""


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Attributes:
        statuses: Exit status of each rank.
        states: Each rank's parameters and buffers after the training.
        output: What each rank has written.
        views: Azimuths that each rank has drawn, by step.
    """

    statuses: list[int]
    states: list[dict[str, Any]]
    output: list[str]
    views: list[list[list[float]]]


def run_together(count: int, jobs: Sequence[Job], folder: Path) -> dict[str, Result]:
    """Start `count` processes that train each of the jobs together; returns the results by name."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps([[_free_port(), dataclasses.asdict(job)] for job in jobs]))
    shared = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NODE_RANK": "0"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "LOCAL_WORLD_SIZE": str(count), "WORLD_SIZE": str(count)}
    command = [sys.executable, __file__, str(folder / "jobs.json"), str(folder)]
    processes = [subprocess.Popen(command, env={**shared, "LOCAL_RANK": str(rank)}) for rank in range(count)]
    try:
        assert [process.wait(timeout=1200) for process in processes] == [0] * count
    finally:
        for process in processes:
            process.kill()
            process.wait()
    results = {}
    for job in jobs:
        kept = [torch.load(folder / f"{job.name}-{rank}.pt", weights_only=True) for rank in range(count)]
        output = [(folder / f"{job.name}-{rank}.txt").read_text() for rank in range(count)]
        results[job.name] = Result(
            [item["status"] for item in kept],
            [item["state"] for item in kept],
            output,
            [item["views"] for item in kept],
        )
    return results


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(jobs: Path, folder: Path) -> None:
    """Run all jobs as the rank that the environment names."""
    for port, job in json.loads(jobs.read_text()):
        os.environ["MASTER_PORT"] = str(port)
        os.environ["WORLD_SIZE"] = os.environ["LOCAL_WORLD_SIZE"]  # Lightning takes it away.
        with (folder / f"{job['name']}-{os.environ['LOCAL_RANK']}.txt").open("w") as output:
            sys.stdout = sys.stderr = output
            logging.getLogger().handlers.clear()  # They hold the output of the job before.
            try:
                _run(Job(**job), folder)
            finally:
                sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def _run(job: Job, folder: Path) -> None:
    import torch

    from framework.cli import train
    from framework.cli.main import main
    from framework.core import ranks
    from framework.data.random_views import RandomViews
    from framework.structures.losses import TermOutput
    from framework.systems.distillation import Distillation

    kept: dict[str, Any] = {"state": {}, "views": []}
    whole_train, whole_step, whole_sample = train.train, Distillation.training_step, RandomViews.sample

    def keeping(shell: Any, *rest: Any) -> Any:
        stopped_by = whole_train(shell, *rest)
        kept["state"] = {name: value.clone() for name, value in shell.system.state_dict().items()}
        return stopped_by

    def troubled(self: Distillation, step: Any) -> Any:
        terms = whole_step(self, step)
        is_struck = ranks.rank() == 1 and step.step == 3
        if is_struck and job.trouble == "SIGTERM":
            signal.raise_signal(signal.SIGTERM)
        if job.trouble == "nan":
            value = torch.tensor(math.nan if is_struck else 0.0)
            terms.add("losses.spoilt", TermOutput({"x": value}), weight=1.0)
        return terms

    def noted(self: RandomViews, step: Any, device: Any) -> Any:
        views = whole_sample(self, step, device)
        kept["views"].append(views.azimuth.tolist())
        return views

    train.train, Distillation.training_step, RandomViews.sample = keeping, troubled, noted
    try:
        kept["status"] = main(job.arguments)
    except SystemExit as error:
        kept["status"] = error.code
    finally:
        train.train, Distillation.training_step, RandomViews.sample = whole_train, whole_step, whole_sample
        if torch.distributed.is_initialized():  # After a failure, with which a process would end.
            torch.distributed.destroy_process_group()
    torch.save(kept, folder / f"{job.name}-{os.environ['LOCAL_RANK']}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
