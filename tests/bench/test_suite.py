"""Measuring row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.bench.rows import BenchError, Measure, Report
from framework.bench.suite import Case, Outcome, Suite, Summary, run

Stamp = Callable[[str], None]


def measured(path: Path, suite: Suite, **options: Any) -> list[str]:
    """Runs a suite as a new process would; returns the failures."""
    return run(suite, Report.load(path, "steps"), path, **options)


@pytest.fixture
def path(tmp_path: Path, at_commit: Stamp) -> Path:
    return tmp_path / "benchmarks" / "steps.json"


def test_rows_that_are_there_are_not_measured_again(path: Path, counter: Any) -> None:
    measured(path, Suite([counter.case("a")]))
    measured(path, Suite([counter.case("a"), counter.case("b")]))
    assert counter.calls == ["a", "b"]
    assert list(Report.load(path, "steps").rows) == ["a", "b"]


def test_rows_of_another_commit_are_measured_again(path: Path, counter: Any, at_commit: Stamp) -> None:
    measured(path, Suite([counter.case("a", 1.0)]))
    at_commit("def")
    measured(path, Suite([counter.case("a", 2.0)]))
    row = Report.load(path, "steps").rows["a"]
    assert (row.commit, row.measures[0].value) == ("def", 2.0)


def test_rows_are_measured_again_on_request(path: Path, counter: Any) -> None:
    measured(path, Suite([counter.case("a")]))
    measured(path, Suite([counter.case("a")]), repeat=True)
    assert counter.calls == ["a", "a"]


def test_a_run_that_breaks_off_keeps_the_rows_before(path: Path, counter: Any) -> None:
    def broken(pictures: Path) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(path, Suite([counter.case("a"), Case("b", broken), counter.case("c")]))
    assert list(Report.load(path, "steps").rows) == ["a"]


def test_a_row_that_fails_does_not_stop_the_others(path: Path, counter: Any, capsys: Any) -> None:
    def failing(pictures: Path) -> Outcome:
        raise BenchError("no compiler")

    assert measured(path, Suite([Case("a", failing), counter.case("b")])) == ["a"]
    assert list(Report.load(path, "steps").rows) == ["b"]
    assert "no compiler" in capsys.readouterr().out


def test_only_picks_rows_by_a_part_of_their_name(path: Path, counter: Any) -> None:
    suite = Suite([counter.case("oracle, a red cube"), counter.case("oracle, a snowman")])
    measured(path, suite, only="snow")
    assert counter.calls == ["oracle, a snowman"]
    with pytest.raises(BenchError, match="no row's name contains 'duck'"):
        measured(path, suite, only="duck")


def test_rows_stand_in_the_order_of_the_suite_and_old_ones_are_dropped(path: Path, counter: Any) -> None:
    measured(path, Suite([counter.case("old"), counter.case("b")]))
    measured(path, Suite([counter.case("a"), counter.case("b")]))
    assert list(Report.load(path, "steps").rows) == ["a", "b"]


def test_a_summary_follows_the_rows_there_are(path: Path, counter: Any) -> None:
    def total(report: Report) -> Outcome | None:
        values = [row.measures[0].value for name, row in report.rows.items() if name != "total"]
        if len(values) < 2:
            return None
        return Outcome(measures=(Measure(name="sum", value=sum(v for v in values if v is not None)),))

    suite = Suite([counter.case("a", 1.0), counter.case("b", 2.0)], [Summary("total", total)])
    measured(path, suite, only="a")
    assert list(Report.load(path, "steps").rows) == ["a"]
    measured(path, suite)
    assert Report.load(path, "steps").rows["total"].measures[0].value == 3.0


def test_pictures_go_beside_the_folder_of_the_file(path: Path) -> None:
    seen = []

    def measure(pictures: Path) -> Outcome:
        seen.append(pictures)
        return Outcome(measures=())

    measured(path, Suite([Case("a", measure)]))
    assert seen == [path.parent.parent / "images"]
