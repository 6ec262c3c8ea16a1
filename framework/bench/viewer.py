"""What it costs a training to be watched: steps a second while somebody looks, while nobody does, and without a viewer."""

from __future__ import annotations

import bisect
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from framework.bench.processes import Finished, launch, run_folder
from framework.bench.rows import BenchError, Measure
from framework.bench.steps import CONFIG, times_of_steps
from framework.bench.suite import Case, Outcome, Suite
from framework.bench.watcher import BrowserlessWatcher
from framework.cli.ranks import free_port

_SETTINGS = ("trainer.log_every=1", "trainer.validate_every=0", "trainer.checkpoint_every=100000", "export=null")
_KEPT, _ALL, _SOON = 0.85, 0.97, 3.0
_AWAY_SECONDS, _VISIT_SECONDS, _MOVE_SECONDS = 6.0, 12.0, 3.0
_MOVES_A_SECOND, _TURN = 10.0, 0.05  # radians a move
_FULL = 256
_PAIRS, _TIMED_STEPS = 3, 200
_PATIENCE = 600.0


def suite() -> Suite:
    """One row for those who look, one for nobody."""
    return Suite([Case("somebody watches", _watched), Case("nobody watches", _unwatched)])


@dataclass
class _Visits:
    """When a watcher was there, and when not, seconds since 1970; and what it had to wait for.

    Attributes:
        watched, alone: Beginnings and ends.
        waits: Seconds from the end of each movement to a full picture.
        small: Pictures that arrived during movements, a second.
    """

    watched: list[tuple[float, float]] = field(default_factory=list)
    alone: list[tuple[float, float]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)


def _watched(pictures: Path) -> Outcome:
    """One training, during which somebody comes and goes, turns the scene and rests."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        port = free_port()
        training = pool.submit(launch, *_arguments(folder), f"--viewer={port}")
        visits = _visit(port, training)
        training.result()
        times = sorted(times_of_steps(run_folder(Path(folder)) / "tensorboard").values())
    alone, watched = _speed(times, visits.alone), _speed(times, visits.watched)
    return Outcome(
        measures=(
            Measure(name="alone", value=alone, unit="steps/s"),
            Measure(name="watched", value=watched, unit="steps/s"),
            Measure(name="share of the speed that is kept", value=watched / alone, at_least=_KEPT),
            Measure(name="256 x 256 after coming to rest, longest", value=max(visits.waits), unit="s", at_most=_SOON),
            Measure(name="the same, median", value=statistics.median(visits.waits), unit="s"),
            Measure(name="pictures while moving", value=statistics.median(visits.small), unit="1/s"),
        ),
        note=f"{len(visits.waits)} visits of {_VISIT_SECONDS:g} s, each {_MOVE_SECONDS:g} s of movement and then rest, "
        f"with {_AWAY_SECONDS:g} s without anybody before each, in one training.",
    )


def _visit(port: int, training: Future[Finished]) -> _Visits:
    visits = _Visits()
    with BrowserlessWatcher(port, patience=_PATIENCE) as first:
        first.wait_for_picture()  # Training has begun.
    while not training.done():
        began = time.time()
        time.sleep(_AWAY_SECONDS)
        visits.alone.append((began, time.time()))
        try:
            _look_around(port, visits)
        except (BenchError, OSError):
            if not training.done():  # Else it has ended meanwhile.
                raise
    return visits


def _look_around(port: int, visits: _Visits) -> None:
    """Come, turn the scene for some seconds, rest, and go."""
    began, number = time.time(), 0
    with BrowserlessWatcher(port, patience=5.0) as watcher:
        before = len(watcher.pictures)
        while time.time() - began < _MOVE_SECONDS:
            watcher.look(_TURN * (number := number + 1))
            time.sleep(1.0 / _MOVES_A_SECOND)
        rested = time.perf_counter()
        small = (len(watcher.pictures) - before) / _MOVE_SECONDS
        wait = watcher.wait_for_picture(size=_FULL, after=rested, seconds=10.0 * _SOON).at - rested
        time.sleep(max(0.0, began + _VISIT_SECONDS - time.time()))
    visits.watched.append((began, time.time()))
    visits.waits.append(wait)
    visits.small.append(small)


def _unwatched(pictures: Path) -> Outcome:
    """Pairs of trainings, with a viewer at which nobody looks and without one, in turn."""
    speeds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_PAIRS):
        for has_viewer in speeds:
            with tempfile.TemporaryDirectory() as folder:
                words = [f"--viewer={free_port()}"] if has_viewer else []
                launch(*_arguments(folder), f"trainer.max_steps={2 * _TIMED_STEPS}", *words)
                times = sorted(times_of_steps(run_folder(Path(folder)) / "tensorboard").values())
            speeds[has_viewer].append(_TIMED_STEPS / (times[-1] - times[-1 - _TIMED_STEPS]))
    without, beside = (statistics.median(speeds[has_viewer]) for has_viewer in (False, True))
    return Outcome(
        measures=(
            Measure(name="without a viewer", value=without, unit="steps/s"),
            Measure(name="with one", value=beside, unit="steps/s"),
            Measure(name="share of the speed that is kept", value=beside / without, at_least=_ALL),
        ),
        note=f"Medians of {_PAIRS} trainings each, in turn.",
    )


def _arguments(folder: str) -> list[str]:
    return ["--config", CONFIG, *_SETTINGS, f"output_root={folder}"]


def _speed(times: Sequence[float], spans: Sequence[tuple[float, float]]) -> float:
    """Steps a second within those spans that lie within the training.

    Raises:
        BenchError: If there are none.
    """
    inside = [(began, ended) for began, ended in spans if times and times[0] <= began and ended <= times[-1]]
    if not inside:
        raise BenchError("the training was too short to be watched; raise trainer.max_steps.")
    steps = sum(bisect.bisect(times, ended) - bisect.bisect(times, began) for began, ended in inside)
    return steps / sum(ended - began for began, ended in inside)
