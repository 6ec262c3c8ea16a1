"""Running benchmarks row by row, so that what is done already is not done again."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from framework.bench.page import formatted
from framework.bench.rows import BenchError, Measure, Report, Row
from framework.core.provenance import commit, machine

SEED = 0
"""Of every benchmark; rows that vary it say so in their names."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a measurement gives; see `Row`."""

    measures: tuple[Measure, ...]
    note: str = ""
    picture: str | None = None


@dataclass(frozen=True)
class Case:
    """A row that can be measured.

    Attributes:
        name: Name of the row.
        measure: Measures it; gets the folder for pictures.

            Raises BenchError if that is not possible.
    """

    name: str
    measure: Callable[[Path], Outcome]


@dataclass(frozen=True)
class Summary:
    """A row that is computed from others.

    Attributes:
        name: Name of the row.
        of: Computes it from the rows there are; None if they do not suffice.
    """

    name: str
    of: Callable[[Report], Outcome | None]


@dataclass(frozen=True)
class Suite:
    """The rows of one benchmark, in the order in which they are measured and shown."""

    cases: Sequence[Case]
    summaries: Sequence[Summary] = ()


class _Module(Protocol):
    def suite(self) -> Suite: ...


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that the command line knows.

    Attributes:
        name: Its name there.
        title, introduction: What the page says about it.
        module: Has a function `suite()`; imported when the benchmark is run.
    """

    name: str
    title: str
    introduction: str
    module: str

    def suite(self) -> Suite:
        """Its rows."""
        module: _Module = importlib.import_module(self.module)
        return module.suite()


def run(suite: Suite, report: Report, path: Path, *, only: str | None = None, repeat: bool = False) -> list[str]:
    """Measure the rows that are missing or of another commit, writing `path` after each; returns what failed.

    Args:
        suite: The rows. Rows in `report` that it does not have are dropped.
        report: What is known already.
        path: The JSON file. Pictures go to the folder `images` beside its folder.
        only: Measure only rows whose name contains this.
        repeat: Measure rows again that are there already.

    Raises:
        BenchError: If no name contains `only`.
    """
    names = [case.name for case in suite.cases]
    if only is not None and not any(only in name for name in names):
        raise BenchError(f"--only: no row's name contains '{only}'. Rows: {'; '.join(names)}.")
    code, where, failures = commit(), machine(), []
    for number, case in enumerate(suite.cases, start=1):
        known = report.rows.get(case.name)
        if only is not None and only not in case.name:
            continue
        if known is not None and known.commit == code and not repeat:
            print(f"[{number}/{len(names)}] {case.name}: measured already", flush=True)
            continue
        print(f"[{number}/{len(names)}] {case.name} ...", flush=True)
        started = time.monotonic()
        try:
            outcome = case.measure(path.parent.parent / "images")
        except BenchError as error:
            print(f"    failed: {error}", flush=True)
            failures.append(case.name)
            continue
        report.rows[case.name] = _row(case.name, outcome, code, where, time.monotonic() - started)
        _finish(suite, report, code, where).save(path)
        print("    " + ", ".join(f"{m.name} {formatted(m)}" for m in outcome.measures), flush=True)
    _finish(suite, report, code, where).save(path)
    return failures


def _finish(suite: Suite, report: Report, code: str, where: str) -> Report:
    """The rows of the suite in its order, with summaries of those that are there."""
    for summary in suite.summaries:
        outcome = summary.of(report)
        if outcome is None:
            report.rows.pop(summary.name, None)
        else:
            report.rows[summary.name] = _row(summary.name, outcome, code, where, 0.0)
    order = [*(case.name for case in suite.cases), *(summary.name for summary in suite.summaries)]
    report.rows = {name: report.rows[name] for name in order if name in report.rows}
    return report


def _row(name: str, outcome: Outcome, code: str, where: str, seconds: float) -> Row:
    return Row(
        name=name,
        measures=outcome.measures,
        commit=code,
        machine=where,
        seed=SEED,
        seconds=seconds,
        note=outcome.note,
        picture=outcome.picture,
    )
