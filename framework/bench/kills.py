"""Runs that are killed with SIGKILL at random moments and resumed, beside the same ones left alone."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from framework.bench.killing import Command
from framework.bench.processes import ROOT
from framework.bench.rows import BenchError, Measure
from framework.bench.small import small_settings
from framework.bench.suite import SEED, Case, Outcome, Suite
from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory

CONFIGS = (ROOT / "configs" / "dreamfusion.yaml", *sorted((ROOT / "configs" / "debug").glob("*.yaml")))
"""The default config and all that are made to be run in seconds."""
KILLS = 50
_STEPS = 8
_SAVED = range(2, _STEPS + 1, 2)
_WRITTEN = ".step-"  # How the temporary name of a checkpoint begins while it is being written.
_ATTEMPTS = 20  # A process may end before the moment at which it was to be killed.


@dataclass(frozen=True)
class Killed:
    """What became of a run that was killed.

    Attributes:
        ends_equal: Whether it ended, resumed, as the run that was left alone.
        was_saving: Whether it was killed while it wrote a checkpoint.
        had_saved: Whether there was a checkpoint by then.
    """

    ends_equal: bool
    was_saving: bool
    had_saved: bool


def suite() -> Suite:
    """One row."""
    return Suite([Case(f"{KILLS} kills of runs of {len(CONFIGS)} configs", partial(_kills, CONFIGS, KILLS))])


def _kills(configs: Sequence[Path], count: int, pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        results = list(kills(configs, count, Path(folder), seed=SEED))
    return Outcome(
        measures=(
            Measure(name="kills", value=len(results), at_least=count),
            Measure(name="ends that are bit-equal", value=sum(item.ends_equal for item in results), at_least=count),
            Measure(
                name="kills while a checkpoint was written",
                value=sum(item.was_saving for item in results),
                at_least=count // 10,
            ),
            Measure(name="kills before the first checkpoint", value=sum(not item.had_saved for item in results)),
        ),
        note="Compared are all tensors of the last checkpoint of each stage, the optimizer's included, and metrics.csv.",
    )


def kills(configs: Sequence[Path], count: int, folder: Path, *, seed: int) -> Iterator[Killed]:
    """Kill small runs of `configs`, in turn, `count` times in all: every other one while it saves, if possible.

    Raises:
        BenchError: If a run fails that was not killed.
    """
    draw = random.Random(seed)
    alone = {config: _Alone.run(config, folder / f"alone-{number}") for number, config in enumerate(configs)}
    for number in range(count):
        yield alone[configs[number % len(configs)]].kill(
            folder / f"kill-{number}", draw, while_saving=number % (2 * len(configs)) >= len(configs)
        )


@dataclass(frozen=True)
class _Alone:
    """A run that nobody disturbed: what those that were killed should come to."""

    settings: tuple[str, ...]
    seconds: float
    end: dict[str, Any]

    @classmethod
    def run(cls, config: Path, folder: Path) -> _Alone:
        """A small run of a config, with all that it writes below `folder`."""
        sizes = small_settings(config, max_steps=_STEPS)
        often = (f"trainer.checkpoint_every={_SAVED.step}", "trainer.log_every=1", "trainer.validate_every=0")
        settings = ("--config", str(config), *sizes, *often, "export=null")
        seconds = _command(settings, folder).finish()
        return cls(settings, seconds, _end(folder))

    def kill(self, folder: Path, draw: random.Random, *, while_saving: bool) -> Killed:
        """What becomes of such a run below `folder` when it is killed once and resumed.

        Raises:
            BenchError: If it always ends before.
        """
        for attempt in range(_ATTEMPTS):
            own = folder / str(attempt)
            moment, step = draw.uniform(0.0, self.seconds), draw.choice(_SAVED)
            is_time = partial(_is_saving, own, step) if while_saving else partial(_is_later, moment)
            if _command(self.settings, own).kill(is_time):
                break
        else:
            raise BenchError(f"{folder}: each of {_ATTEMPTS} runs ended before it could be killed.")
        was_saving = any(own.glob(f"*/*/**/{_WRITTEN}*"))
        had_saved = any(own.glob("*/*/**/step-*"))
        resume = ["resume=last"] if _runs(own) else []  # Before there is a folder, there is nothing to go on with.
        _command((*self.settings, *resume), own).finish()
        return Killed(not differences(self.end, _end(own)), was_saving, had_saved)


def _is_later(moment: float, seconds: float) -> bool:
    return seconds > moment


def _is_saving(folder: Path, step: int, seconds: float) -> bool:
    return any(folder.glob(f"*/*/**/{_WRITTEN}{step:06d}-*"))


def _command(settings: Sequence[str], folder: Path) -> Command:
    folder.mkdir(parents=True, exist_ok=True)
    return Command((*settings, f"output_root={folder}"), folder / "output.txt")


def _runs(folder: Path) -> list[RunDirectory]:
    return [RunDirectory(path.parent) for path in folder.glob("*/*/run.json")]


def _end(folder: Path) -> dict[str, Any]:
    """What the one run below `folder` has come to, by stage: tensors, and the numbers that it logged.

    Raises:
        BenchError: If it is not finished, or not alone.
    """
    runs = _runs(folder)
    if [run.state().get("state") for run in runs] != ["finished"]:
        raise BenchError(f"{folder}: holds {len(runs)} runs instead of one that is finished.")
    stages = runs[0].stages() or runs
    return {stage.root.name if stage.root != runs[0].root else "": _content(stage) for stage in stages}


def _content(stage: RunDirectory) -> dict[str, Any]:
    saved = load_checkpoint(stage.latest_checkpoint())
    return {"step": saved["step"], "state": saved["state"], "metrics": stage.metrics.read_text(encoding="utf-8")}


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Paths at which two trees of tensors and plain values differ, in bits or in kind."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [path]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [place for key in one for place in differences(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [place for index, (a, b) in pairs for place in differences(a, b, f"{path}[{index}]")]
    return [] if type(one) is type(other) and one == other else [path]
