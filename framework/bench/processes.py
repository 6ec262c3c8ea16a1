"""Commands as a user starts them: in a process of their own, with their time and their largest memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.bench.rows import BenchError

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30
_LINES_SHOWN = 12


@dataclass(frozen=True)
class Finished:
    """A process that ended.

    Attributes:
        status: Its exit status.
        seconds: From its start to its end.
        peak_bytes: Most memory that it, or a process that it started, had resident; never less than what this process
            had when it started it, which is how Linux counts.
        output: Both its streams, as text.
    """

    status: int
    seconds: float
    peak_bytes: int
    output: str


def run(command: Sequence[str], *, timeout_seconds: float = 3600.0) -> Finished:
    """Run `command` in the project's folder to its end; it is killed when the time is up."""
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(list(command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        # Not `Popen.kill`, which may collect the process before `wait4` does.
        alarm = threading.Timer(timeout_seconds, os.kill, (process.pid, signal.SIGKILL))
        alarm.start()
        try:
            # `wait4` instead of `Popen.wait`: it alone tells the memory of this one process.
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            alarm.cancel()
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", errors="replace")
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return Finished(process.returncode, seconds, usage.ru_maxrss * kilobyte, text)


def launch(*arguments: str, timeout_seconds: float = 3600.0, expected_status: int = 0) -> Finished:
    """Run `launch.py` with `arguments`.

    Raises:
        BenchError: If it ends with another status than expected; shows the end of what it printed.
    """
    finished = run([sys.executable, "launch.py", *arguments], timeout_seconds=timeout_seconds)
    if finished.status != expected_status:
        raise failure(arguments, finished)
    return finished


def failure(arguments: Sequence[str], finished: Finished) -> BenchError:
    """What to raise when `launch.py` ended as it should not; shows the end of what it printed."""
    tail = "\n".join(finished.output.strip().splitlines()[-_LINES_SHOWN:])
    return BenchError(f"'launch.py {' '.join(arguments)}' ended with status {finished.status}:\n{tail}")


def largest_memory(finished: Finished, output_root: Path) -> float:
    """The most memory, GiB, of a run: in a phase that it noted, with which the system's own count began anew, or after."""
    states = [json.loads(path.read_text()) for path in output_root.glob("*/**/run.json")]
    return max(finished.peak_bytes / GIB, *(state.get("peak_memory_gib", 0.0) for state in states))


def run_folder(output_root: Path) -> Path:
    """The one run folder below an output root.

    Raises:
        BenchError: If there is none, or more than one.
    """
    found = [path.parent for path in output_root.glob("*/*/config.yaml")]
    if len(found) != 1:
        raise BenchError(f"{output_root} holds {len(found)} run folders instead of one.")
    return found[0]
