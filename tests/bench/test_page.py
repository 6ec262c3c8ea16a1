"""The generated page."""

from __future__ import annotations

import pytest

from framework.bench.page import formatted, page, target
from framework.bench.rows import Measure, Report, Row
from framework.bench.suite import Benchmark

STEPS = Benchmark("steps", "Training steps", "How fast.", "framework.bench.steps")


def row(name: str, *measures: Measure, machine: str = "m", note: str = "", picture: str | None = None) -> Row:
    return Row(
        name=name, measures=measures, commit="abc", machine=machine, seed=0, seconds=7.25, note=note, picture=picture
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.12345, "", "0.123"),
        (-0.5, "", "-0.500"),
        (1.2345, "s", "1.23 s"),
        (12.345, "dB", "12.3 dB"),
        (123.45, "ms", "123 ms"),
        (12345.6, "ms", "12,346 ms"),
        (None, "ms", "none"),
    ],
)
def test_values_have_three_significant_digits(value: float | None, unit: str, text: str) -> None:
    assert formatted(Measure(name="m", value=value, unit=unit)) == text


def test_targets_are_shown_as_they_were_set() -> None:
    assert target(Measure(name="m", value=1.0, unit="ms", at_most=130.0)) == "<= 130 ms"
    assert target(Measure(name="m", value=1.0, at_least=0.45)) == ">= 0.45"
    assert target(Measure(name="m", value=1.0)) == ""


def test_a_row_has_a_line_for_each_number() -> None:
    fast = Measure(name="speed", value=11.0, unit="steps/s", at_least=10.0)
    big = Measure(name="memory", value=6.0, unit="GiB", at_most=5.0)
    text = page([(STEPS, Report("steps", {"x": row("x", fast, big)}))])
    assert "| x | speed | 11.0 steps/s | >= 10 steps/s | yes | abc | A | 0 | 7.25 |" in text
    assert "|  | memory | 6.00 GiB | <= 5 GiB | **no** |  |  |  |  |" in text


def test_machines_notes_and_pictures_are_listed() -> None:
    rows = {
        "x": row("x", Measure(name="t", value=1.0), machine="old", note="It is slow."),
        "y": row("y", Measure(name="t", value=1.0), machine="new", picture="images/y.png"),
    }
    text = page([(STEPS, Report("steps", rows))])
    assert "Machine A: old." in text and "Machine B: new." in text
    assert "- x: It is slow." in text and "| y | ![y](images/y.png) |" in text


def test_a_benchmark_without_rows_says_so() -> None:
    text = page([(STEPS, Report("steps"))])
    assert "## Training steps" in text and "Not measured yet." in text and "| what |" not in text


def test_the_page_depends_on_nothing_but_the_rows() -> None:
    sections = [(STEPS, Report("steps", {"x": row("x", Measure(name="t", value=1.0))}))]
    assert page(sections) == page(sections)
    assert page(sections).endswith("\n") and not page(sections).endswith("\n\n")
