"""Benchmarks that take no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from framework.bench.rows import Measure
from framework.bench.suite import Case, Outcome


class Counter:
    """Makes cases that count how often they are measured."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def case(self, name: str, value: float = 1.0) -> Case:
        """A case whose measurement is `value` milliseconds."""

        def measure(pictures: Path) -> Outcome:
            self.calls.append(name)
            return Outcome(measures=(Measure(name="time", value=value, unit="ms"),))

        return Case(name, measure)


@pytest.fixture
def counter() -> Counter:
    """Cases that count their measurements."""
    return Counter()


@pytest.fixture
def at_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the commit and machine that rows are stamped with."""

    def stamp(commit: str) -> None:
        monkeypatch.setattr("framework.bench.suite.commit", lambda: commit)
        monkeypatch.setattr("framework.bench.suite.machine", lambda: "a test machine")

    stamp("abc")
    return stamp
