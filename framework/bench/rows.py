"""What a benchmark leaves behind: rows in a JSON file, one for each thing measured.

A row says what came out, what was aimed at, and by what code, machine and seed it was measured. The file is written anew
after each row, all or nothing, so a run that is cut short goes on where it stopped.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from framework.core.errors import UserError
from framework.core.files import write_text

_DIGITS = 6
"""Significant digits that are kept."""


class BenchError(UserError):
    """A benchmark that could not be run, or a file of results that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number.

    Attributes:
        name: What was measured.
        value: The number; None where there is none, which the row's note explains.
        unit: Its unit; empty for ratios and scores.
        at_most, at_least: The target, if there is one; one of the two.
    """

    name: str
    value: float | None
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def has_target(self) -> bool:
        """Whether something was aimed at."""
        return self.at_most is not None or self.at_least is not None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if not self.has_target:
            return None
        if self.value is None:
            return False
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was measured.

    Attributes:
        name: What it is; its key in the file.
        measures: The numbers.
        commit, machine: By what code and where they were measured.
        seed: Source of all randomness.
        seconds: How long the measuring took.
        note: What a reader must know.
        picture: An image of the result, relative to the folder of the page.
    """

    name: str
    measures: tuple[Measure, ...]
    commit: str
    machine: str
    seed: int
    seconds: float
    note: str = ""
    picture: str | None = None


@dataclass
class Report:
    """The rows of one benchmark, by name."""

    name: str
    rows: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, name: str) -> Report:
        """The report at `path`; empty if there is no such file.

        Raises:
            BenchError: If the file is damaged or that of another benchmark.
        """
        if not path.is_file():
            return cls(name)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            rows = [_row(item) for item in document["rows"]]
            if document["benchmark"] != name:
                raise BenchError(f"{path} holds the benchmark '{document['benchmark']}', not '{name}'.")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(
                f"{path} cannot be read as benchmark results: {error!r}. Delete it to begin anew."
            ) from None
        return cls(name, {row.name: row for row in rows})

    def save(self, path: Path) -> None:
        """Write the report to `path`, all or nothing."""
        rows = [_plain(row) for row in self.rows.values()]
        write_text(path, json.dumps({"benchmark": self.name, "rows": rows}, indent=1) + "\n")


def _plain(row: Row) -> dict[str, Any]:
    """The row without what has its default."""
    tree = asdict(row)
    tree["seconds"] = _rounded(row.seconds)
    tree["measures"] = [
        {"name": m.name, "value": _rounded(m.value)}
        | ({"unit": m.unit} if m.unit else {})
        | {k: float(v) for k, v in (("at_most", m.at_most), ("at_least", m.at_least)) if v is not None}
        for m in row.measures
    ]
    return {key: value for key, value in tree.items() if value not in ("", None)}


def _row(tree: dict[str, Any]) -> Row:
    return Row(**{**tree, "measures": tuple(Measure(**item) for item in tree["measures"])})


def _rounded(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")
