"""`docs/benchmarks.md` from the JSON files: the same text for the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from framework.bench.rows import Measure, Report, Row

if TYPE_CHECKING:
    from framework.bench.suite import Benchmark

_HEAD = """# Benchmarks

Written by `python -m framework.bench --pages` from the files in `docs/benchmarks/`; edits are lost.
Each section names the command that measures it. A commit with `+changes` had changes that were not committed.
"""


def page(sections: Sequence[tuple[Benchmark, Report]]) -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(_section(benchmark, report) for benchmark, report in sections)])


def formatted(measure: Measure) -> str:
    """The value with its unit, such as `118 ms`; `none` where there is no value."""
    return "none" if measure.value is None else _with_unit(measure.value, measure.unit)


def target(measure: Measure) -> str:
    """What was aimed at, such as `<= 130 ms`; empty if nothing was."""
    if measure.at_most is not None:
        return f"<= {_with_unit(measure.at_most, measure.unit, is_exact=True)}"
    if measure.at_least is not None:
        return f">= {_with_unit(measure.at_least, measure.unit, is_exact=True)}"
    return ""


def _with_unit(value: float, unit: str, *, is_exact: bool = False) -> str:
    number = f"{value:g}" if is_exact else _number(value)
    return f"{number} {unit}".strip()


def _number(value: float) -> str:
    """Three significant digits, but all digits before the point, and no more than three after it."""
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}"


def _section(benchmark: Benchmark, report: Report) -> str:
    command = f"    python -m framework.bench {benchmark.name} --json docs/benchmarks/{benchmark.name}.json"
    lines = [f"## {benchmark.title}", "", benchmark.introduction, "", command, ""]
    rows = list(report.rows.values())
    if not rows:
        return "\n".join([*lines, "Not measured yet.", ""])
    machines = list(dict.fromkeys(row.machine for row in rows))
    lines += [f"Machine {_letter(number)}: {machine}.  " for number, machine in enumerate(machines)]
    lines += ["", "| what | | value | target | met | commit | machine | seed | seconds |"]
    lines += ["|---|---|---:|---:|---|---|---|---:|---:|"]
    for row in rows:
        lines += _table_lines(row, _letter(machines.index(row.machine)))
    lines += ["", *(f"- {row.name}: {row.note}" for row in rows if row.note)]
    pictures = [row for row in rows if row.picture]
    if pictures:
        lines += ["", "| what | result |", "|---|---|"]
        lines += [f"| {row.name} | ![{row.name}]({row.picture}) |" for row in pictures]
    return "\n".join(lines).rstrip() + "\n"


def _table_lines(row: Row, machine: str) -> list[str]:
    """One line for each number; what they share stands in the first."""
    lines = []
    for index, measure in enumerate(row.measures):
        met = {True: "yes", False: "**no**", None: ""}[measure.is_met]
        shared = [row.commit, machine, str(row.seed), _number(row.seconds)] if index == 0 else [""] * 4
        cells = [row.name if index == 0 else "", measure.name, formatted(measure), target(measure), met, *shared]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _letter(number: int) -> str:
    return chr(ord("A") + number)
