"""Mutated configs: each must be valid, or be refused by one report whose every line names a place, in no time."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from torch import nn

from framework.bench.mutations import Mutant, mutants
from framework.bench.processes import GIB, ROOT, run
from framework.bench.rows import Measure
from framework.bench.suite import SEED, Case, Outcome, Suite
from framework.cli.stages import check
from framework.core.errors import ConfigError, UserError
from framework.core.run_config import RunConfig
from framework.core.stages import parse_stages
from framework.core.yaml_tree import load_tree, override
from framework.systems.distillation import Distillation
from framework.systems.optimization import check_scene_paths
from framework.systems.scenes import Scenes

MUTANTS, PROCESSES = 1000, 50
_USER_ERROR = 2
_PATIENCE_SECONDS = 30.0
"""What computes longer counts as hanging."""
_START_SECONDS = 900.0
"""A command may have to wait for its turn on a busy machine."""
_MEMORY = 8 * GIB
"""Address space beyond what the process has: a size without bounds is an error here instead of the machine's end."""
_SHOWN = 5


@dataclass(frozen=True)
class Verdict:
    """What came of a mutant.

    Attributes:
        mutant: It.
        report: What a user is told of it; None if it is valid.
        defect: What is wrong with that; None if nothing is.
        seconds: How long the answer took, in time of the processor.
    """

    mutant: Mutant
    report: str | None
    defect: str | None
    seconds: float


def suite() -> Suite:
    """One row for all in one process, and one for some in processes of their own."""
    return Suite(
        [
            Case(f"{MUTANTS} mutated configs in one process", partial(_judge_all, MUTANTS)),
            Case(f"{PROCESSES} of those that are refused, as commands", partial(_launch_some, PROCESSES)),
        ]
    )


def _judge_all(count: int, pictures: Path) -> Outcome:
    verdicts = list(judged(count, seed=SEED))
    defects = [item for item in verdicts if item.defect is not None]
    for item in defects:
        print(f"    {item.mutant.source}: {item.mutant.change}: {item.defect}", flush=True)
    refused = sum(item.report is not None for item in verdicts)
    return Outcome(
        measures=(
            Measure(name="valid", value=len(verdicts) - refused),
            Measure(name="refused", value=refused),
            Measure(name="neither, or not clearly", value=len(defects), at_most=0),
            Measure(name="slowest answer, processor time", value=max(item.seconds for item in verdicts), unit="s"),
        ),
        note="Valid means that everything up to reading weights is built: all settings, fits between parts, scenes, and "
        "the optimizer's paths. A clear report has one line for each problem, with its path, file and line, or file.",
    )


def _launch_some(count: int, pictures: Path) -> Outcome:
    with _copied_configs() as folder:
        refused = (item for item in _judged_in(folder, 20 * count, seed=SEED) if item.report is not None)
        chosen = [item for item, _ in zip(refused, range(count), strict=False)]
        as_told = [is_told(item, folder) for item in chosen]
    return Outcome(
        measures=(
            Measure(name="commands", value=len(chosen), at_least=count),
            Measure(name="status 2 and that report", value=sum(as_told), at_least=count),
        )
    )


def judged(count: int, *, seed: int) -> Iterator[Verdict]:
    """Verdicts on `count` mutants of the project's configs."""
    with _copied_configs() as folder:
        yield from _judged_in(folder, count, seed=seed)


def _judged_in(folder: Path, count: int, *, seed: int) -> Iterator[Verdict]:
    for mutant in mutants(ROOT / "configs", count, seed=seed):
        yield judge(mutant, folder)


@contextmanager
def _copied_configs() -> Iterator[Path]:
    """A copy of the project's configs, in which mutants find what they extend."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "configs"
        shutil.copytree(ROOT / "configs", copy)
        yield copy


def judge(mutant: Mutant, folder: Path) -> Verdict:
    """The verdict on a mutant, written for a moment over its source in `folder`."""
    path = folder / mutant.source
    with _written(mutant, path):
        started = time.process_time()
        report, defect = None, None
        try:
            with _limited():
                build(path)
        except UserError as error:
            report, defect = error.report(), _unclear(error, path)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            defect = f"{type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})"
        return Verdict(mutant, report, defect, time.process_time() - started)


def build(path: Path) -> None:
    """Do what training from a config does up to reading weights.

    Raises:
        UserError: If it is not valid.
    """
    tree = override(load_tree(path), ())
    try:
        stages = parse_stages(tree)
        check(stages)
        for stage in stages.values():
            if isinstance(stage.system, Distillation.Config):
                _build_scenes(stage, stage.system)
    except ConfigError as error:
        raise error.located(tree.origin) from None


def _build_scenes(config: RunConfig, system: Distillation.Config) -> None:
    """Scenes, one of them if they are many, and the paths of the optimizer in them."""
    holder = nn.Module()
    holder.scenes = Scenes.build(system.scene, 1, config)
    check_scene_paths(holder, system.optimizer.parameters, frozen=config.freeze, terms=system.guidance)


def _unclear(error: UserError, path: Path) -> str | None:
    """Why a report is not clear, if it is not."""
    problems = error.problems if isinstance(error, ConfigError) else []
    if not problems or len(problems) != len(set(problems)):
        return f"no problems, or one twice: {error}"
    for problem in problems:
        if not problem.message.strip() or "\n" in str(problem):
            return f"not one line: {problem!r}"
        if not problem.path and problem.location is None and str(path.parent) not in problem.message:
            return f"names no place: {problem}"
    return None


def is_told(verdict: Verdict, folder: Path) -> bool:
    """Whether `launch.py` ends with status 2 and the report of the verdict alone."""
    path = folder / verdict.mutant.source
    with _written(verdict.mutant, path):
        finished = run([sys.executable, "launch.py", "--config", str(path)], timeout_seconds=_START_SECONDS)
    is_so = finished.status == _USER_ERROR and finished.output.strip() == (verdict.report or "").strip()
    if not is_so:
        print(f"    {verdict.mutant.source}: {verdict.mutant.change}: {finished}", flush=True)
    return is_so


@contextmanager
def _written(mutant: Mutant, path: Path) -> Iterator[None]:
    original = path.read_bytes()
    path.write_bytes(mutant.text)
    try:
        yield
    finally:
        path.write_bytes(original)


class Hang(Exception):
    """There was no answer in time."""


@contextmanager
def _limited() -> Iterator[None]:
    """With bounds on time and memory, of the main thread on Unix."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no answer in {_PATIENCE_SECONDS:g} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGPROF, ring)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_PROF, _PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGPROF, handler)
