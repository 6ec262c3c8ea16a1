"""Training by several processes: starting them on this machine, and finding one's place among those that others started.

`--gpu 0,1` and `trainer.devices` start them here. What torchrun and SLURM start is recognised as Lightning does.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from framework.core import ranks
from framework.core.errors import ConfigError, UserError
from framework.core.run_config import RunConfig

if TYPE_CHECKING:
    from framework.systems.placement import Place

FAILED = 2
_SIGNALLED = 128
_LAUNCH = Path(__file__).resolve().parents[2] / "launch.py"
_LIFELINE = "DISTILL3D_LIFELINE"
"""Names the end of a pipe that closes when the process that started the ranks is gone."""
_PATIENCE = 60.0  # seconds that the others have to notice that one has ended


def wanted(options: argparse.Namespace, configs: Mapping[str, RunConfig]) -> int:
    """How many processes the command line or the config wants on this machine.

    Raises:
        ConfigError: If stages of one run want different numbers.
    """
    counts = {config.trainer.devices for config in configs.values()}
    if options.gpu is not None:
        return len(options.gpu)
    if len(counts) > 1:
        raise ConfigError(f"trainer.devices: all stages of a run need the same number, got {sorted(counts)}.")
    return counts.pop()


def place() -> Place | None:
    """The place that torchrun, SLURM or `start` has given this process; None where it is alone.

    Raises:
        UserError: If what SLURM says does not fit together.
    """
    if not {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "LOCAL_RANK"} & os.environ.keys():
        return None
    from framework.systems.placement import place  # Not before: Lightning takes seconds to import.

    return place()


@contextlib.contextmanager
def joined(here: Place | None, options: argparse.Namespace) -> Iterator[None]:
    """Train as one of several processes, of which the first alone tells what goes wrong.

    The others end by themselves with status 2, but for what is no error of the user's, whose traceback they show.
    """
    if here is None:
        yield
        return
    from framework.cli.train import device

    _hold_lifeline()
    if here.rank > 0:
        logging.getLogger("framework").setLevel(logging.ERROR)
    try:
        ranks.join(here.rank, here.count, local=here.local_rank, device=device(options.gpu, here.local_rank))
        yield
    except BaseException as error:
        ranks.leave(failure=str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
        if here.rank == 0:
            raise
        if isinstance(error, Exception) and (options.verbose or not isinstance(error, UserError)):
            traceback.print_exc()
        raise SystemExit(FAILED) from None
    ranks.leave()


def start(arguments: Sequence[str], count: int) -> int:
    """Start `launch.py` as `count` processes on this machine and wait; returns the exit status of the first.

    Signals are handed on. Where one process ends with an error, the others notice by themselves or are ended.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // count) if sys.platform == "linux" else 1
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "NODE_RANK": "0"}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    reader, writer = os.pipe()
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, **shared, _LIFELINE: str(reader)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(_LAUNCH), *arguments],
            env={**environment, "LOCAL_RANK": str(number)},
            start_new_session=True,  # Ctrl-C comes from here, once.
            pass_fds=(reader,),
        )
        for number in range(count)
    ]
    os.close(reader)
    try:
        with _handing_on(processes) as received:
            killed = _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        os.close(writer)
    return _status([process.returncode for process in processes], killed, received)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Wait for all; returns the numbers of those that had to be ended, since they did not notice that one was gone."""
    failed_at: float | None = None
    while any(process.poll() is None for process in processes):
        if failed_at is None and any(process.returncode for process in processes):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _PATIENCE:
            left = [number for number, process in enumerate(processes) if process.poll() is None]
            for number in left:
                processes[number].kill()
            return left
        time.sleep(0.05)
    return []


def _status(statuses: Sequence[int], killed: Sequence[int], received: Sequence[int]) -> int:
    """The exit status of the whole; tells what the first process could not tell.

    Args:
        statuses: Of all processes.
        killed: Numbers of those that had to be ended.
        received: Signals that were handed on.
    """
    first = statuses[0]
    if 0 not in killed and first >= 0:
        return first
    if received and first == -received[0]:
        return _SIGNALLED + received[0]  # It was asked to end before it could listen.
    ends = [
        f"rank {number} {_end(status)}" for number, status in enumerate(statuses) if status and number not in killed
    ]
    print(f"error: {', '.join(ends)}, and so has ended the run. Go on with resume=last.", file=sys.stderr)
    return FAILED if 0 in killed else _SIGNALLED - first


def _end(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with status {status}"


@contextlib.contextmanager
def _handing_on(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Hands signals on to all processes; yields the list of those received."""
    received: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for process in processes:
            process.send_signal(number)  # Does nothing to one that has ended.

    previous = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _hold_lifeline() -> None:
    """End as after SIGTERM when the process that started this one is gone: nobody could stop it any more."""
    if _LIFELINE not in os.environ:
        return
    end = int(os.environ.pop(_LIFELINE))

    def watch() -> None:
        os.read(end, 1)  # Returns when the other end is closed.
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
