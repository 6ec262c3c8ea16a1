"""Processes of `launch.py` that are killed at some moment, as a power cut or a scheduler does it.

They are forked from one that has imported everything, so that most moments fall into the run itself and not before it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from framework.bench.processes import ROOT
from framework.bench.rows import BenchError

_IMPORTED = ["framework.cli.stages", "framework.systems.callbacks", "framework.systems.distillation"]
_POLL_SECONDS = 0.0005
_LINES_SHOWN = 12


@dataclass(frozen=True)
class Command:
    """A command line of `launch.py`.

    Attributes:
        arguments: What is behind `launch.py`.
        log: Where its output goes.
    """

    arguments: tuple[str, ...]
    log: Path

    def finish(self) -> float:
        """Run it to its end; returns how long that took, seconds.

        Raises:
            BenchError: If it fails; shows the end of what it printed.
        """
        started = time.monotonic()
        process = self._start()
        process.join()
        if process.exitcode:
            tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_SHOWN:])
            raise BenchError(f"'launch.py {' '.join(self.arguments)}' ended with status {process.exitcode}:\n{tail}")
        return time.monotonic() - started

    def kill(self, is_time: Callable[[float], bool]) -> bool:
        """Start it, and kill it as soon as `is_time` says so of the seconds since then; whether it had not ended before."""
        started = time.monotonic()
        process = self._start()
        while process.is_alive() and not is_time(time.monotonic() - started):
            time.sleep(_POLL_SECONDS)
        process.kill()
        process.join()
        return process.exitcode is not None and process.exitcode < 0

    def _start(self) -> ForkServerProcess:
        process = _context().Process(target=_launch, args=(self.arguments, self.log))
        process.start()
        return process


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def _launch(arguments: Sequence[str], log: Path) -> None:
    """What the process does."""
    from framework.cli.main import main

    os.chdir(ROOT)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    sys.exit(main(arguments))
