"""Rows and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.bench.rows import BenchError, Measure, Report, Row


def row(name: str, *measures: Measure, seconds: float = 1.0) -> Row:
    return Row(name=name, measures=measures, commit="abc", machine="m", seed=0, seconds=seconds, note="n", picture="p")


@pytest.mark.parametrize(
    ("measure", "is_met"),
    [
        (Measure(name="m", value=2.0), None),
        (Measure(name="m", value=2.0, at_most=2.0), True),
        (Measure(name="m", value=2.1, at_most=2.0), False),
        (Measure(name="m", value=2.0, at_least=2.0), True),
        (Measure(name="m", value=1.9, at_least=2.0), False),
        (Measure(name="m", value=None, at_least=2.0), False),
    ],
)
def test_a_target_is_met_up_to_and_with_its_value(measure: Measure, is_met: bool | None) -> None:
    assert measure.is_met is is_met


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    measures = Measure(name="a", value=1.5, unit="ms", at_most=2.0), Measure(name="b", value=None)
    report = Report("operations", {"x": row("x", *measures), "y": row("y")})
    report.save(tmp_path / "deep" / "r.json")
    assert Report.load(tmp_path / "deep" / "r.json", "operations") == report


def test_a_missing_file_is_an_empty_report(tmp_path: Path) -> None:
    assert Report.load(tmp_path / "none.json", "steps") == Report("steps")


def test_numbers_are_kept_to_six_digits_and_those_that_are_none_as_null(tmp_path: Path) -> None:
    values = 1 / 3, float("nan"), 123456789.0
    Report("steps", {"x": row("x", *(Measure(name=str(v), value=v) for v in values))}).save(tmp_path / "r.json")
    measures = json.loads((tmp_path / "r.json").read_text())["rows"][0]["measures"]
    assert [item["value"] for item in measures] == [0.333333, None, 123457000.0]


@pytest.mark.parametrize("text", ["{", "[]", '{"benchmark": "steps"}', '{"benchmark": "steps", "rows": [{"name": 1}]}'])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(BenchError, match="cannot be read as benchmark results"):
        Report.load(tmp_path / "r.json", "steps")


def test_the_file_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    Report("steps").save(tmp_path / "r.json")
    with pytest.raises(BenchError, match="holds the benchmark 'steps', not 'results'"):
        Report.load(tmp_path / "r.json", "results")
