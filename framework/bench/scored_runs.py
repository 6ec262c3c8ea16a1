"""Runs of `launch.py` whose meshes are scored against the scenes that their prompts name, and what is said of many.

Runs are kept below `outputs/bench/`, by commit, so that their meshes can be scored in other ways too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from framework.bench.processes import ROOT, failure, run, run_folder
from framework.bench.results import write_strip
from framework.bench.rows import BenchError, Measure, Report
from framework.bench.statistics import Estimate, estimate, interquartile_mean, mean
from framework.bench.suite import SEED, Case, Outcome
from framework.core.provenance import commit
from framework.core.run_directory import RunDirectory, prompt_slug
from framework.export.loading import load_glb
from framework.systems.scoring import score
from framework.toybox.captions import parse_scene


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        method: First words of its row.
        launch: The command line, without prompt and seed.
        group: What its prompt belongs to, such as a prompt list; second words of its row, if there are any.
        prompt, seed: What is made.
    """

    method: str
    launch: tuple[str, ...]
    group: str
    prompt: str
    seed: int = SEED

    @property
    def name(self) -> str:
        """Of its row."""
        words = [self.method, self.group, self.prompt, f"seed {self.seed}" if self.seed else ""]
        return ", ".join(filter(None, words))

    @property
    def folder(self) -> Path:
        """Where its run is kept."""
        return kept_root() / prompt_slug(self.method) / self.group / f"{prompt_slug(self.prompt)}-{self.seed}"

    def case(self, *, note: str = "", has_picture: bool = True) -> Case:
        """The row that scores it, with `note` before what the judge sees."""

        def measure(pictures: Path) -> Outcome:
            directory = kept(self)
            picture = pictures / f"{prompt_slug(self.name)}.png"
            if has_picture:
                write_strip(load_glb(directory.model), picture)
            values = score(directory.model, parse_scene(self.prompt)).values
            values["seconds"] = directory.state()["seconds"]
            return Outcome(
                measures=measures(values),
                note=f"{note}{_seen(values)}",
                picture=f"{pictures.name}/{picture.name}" if has_picture else None,
            )

        return Case(self.name, measure)


@cache
def kept_root() -> Path:
    """Where runs of this version of the code are kept."""
    return ROOT / "outputs" / "bench" / commit()


def kept(job: Job) -> RunDirectory:
    """The finished run of a job; it is started if there is none yet.

    Raises:
        BenchError: If it failed, or left no mesh.
    """
    if not list(job.folder.glob("*/*/mesh/model.glb")):
        arguments = (*job.launch, f"prompt={job.prompt}", f"seed={job.seed}", f"output_root={job.folder}")
        finished = run([sys.executable, "launch.py", *arguments])
        if finished.status != 0:
            raise failure(arguments, finished)
    return RunDirectory.open(run_folder(job.folder))


def measures(values: dict[str, Any]) -> tuple[Measure, ...]:
    """What rows show of the scores of a mesh, which `framework.systems.scoring.score` gives."""
    facing, judge, export = values["facing"], values["judge"] or {}, values["export"] or {}
    is_facing = None if facing is None else facing["is_front_right"] and facing["is_back_right"]
    margin = values["margin"]
    return (
        Measure(name="shape score", value=values["shape_score"]),
        Measure(name="IoU", value=values["iou"]),
        Measure(name="margin", value=margin),
        Measure(name="margin positive", value=_percent(margin is not None and margin > 0.0), unit="%"),
        Measure(name="F-score at 2 %", value=values["surface"]["f_score_2"]),
        Measure(name="colour error", value=values["color"] and values["color"]["error"]),
        Measure(name="objects right", value=_percent(judge.get("objects_right")), unit="%"),
        Measure(name="colours right", value=_percent(judge.get("colors_right")), unit="%"),
        Measure(name="front and back right", value=_percent(is_facing), unit="%"),
        Measure(name="GLB against the field", value=export.get("psnr"), unit="dB"),
        Measure(name="time", value=values.get("seconds"), unit="s"),
    )


def summary_of(names: Sequence[str], targets: dict[str, float]) -> Callable[[Report], Outcome | None]:
    """What is said of those of the rows that have been measured; see `summary`."""

    def summarize(report: Report) -> Outcome | None:
        rows = [report.rows[name] for name in names if name in report.rows]
        if not rows:
            return None
        return summary([row.measures for row in rows], targets, note=f"Over {len(rows)} of {len(names)} runs. ")

    return summarize


def summary(rows: Sequence[Sequence[Measure]], targets: dict[str, float], *, note: str) -> Outcome:
    """Shares as means, everything else as interquartile means, with 95 % intervals in the note.

    Args:
        rows: The measures of each of several things.
        targets: What is aimed at, by measure.
        note: What is said before the intervals.

    Raises:
        BenchError: If there is no value at all.
    """
    columns: dict[str, list[float]] = {}
    for measure in (measure for row in rows for measure in row):
        columns.setdefault(measure.name, []).extend([] if measure.value is None else [measure.value])
    units = {measure.name: measure.unit for row in rows for measure in row}
    shown, intervals = [], []
    for name, values in columns.items():
        found = estimate(values, mean if units[name] == "%" else interquartile_mean)
        if found is None:
            continue
        shown.append(estimated(name, found, unit=units[name], at_least=targets.get(name)))
        intervals.append(f"{name} {found.low:.3g} to {found.high:.3g}")
    if not shown:
        raise BenchError("There is nothing to summarise.")
    return Outcome(measures=tuple(shown), note=f"{note}95 % intervals: {'; '.join(intervals)}.")


def estimated(name: str, found: Estimate | None, *, unit: str = "", at_least: float | None = None) -> Measure:
    """The value of an estimate."""
    return Measure(name=name, value=None if found is None else found.value, unit=unit, at_least=at_least)


def _seen(values: dict[str, Any]) -> str:
    judge = values["judge"]
    return f"The judge sees: {judge['sees']}. " if judge else ""


def _percent(flag: bool | None) -> float | None:
    return None if flag is None else 100.0 * flag
