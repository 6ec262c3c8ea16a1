"""Charts: points where the axes say they are, axes that fit the data."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from framework.report import charts
from framework.report.charts import Chart, Scale, Series, draw, label, thinned


def vertices(polyline: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in polyline.split()]  # type: ignore[misc]


def read_off(chart: Chart, position: float, *, is_log: bool = False) -> float:
    """The value at a height of the plot, as a reader finds it between two labels."""
    (y0, v0), (y1, v1) = [(tick.position, float(tick.label.replace(",", ""))) for tick in chart.y_ticks[:2]]
    fraction = (position - y0) / (y1 - y0)
    return v0 * (v1 / v0) ** fraction if is_log else v0 + (v1 - v0) * fraction


def test_a_polyline_has_its_extremes_where_the_labels_say() -> None:
    series = [Series("a", ((0.0, 3.0), (50.0, 7.0), (100.0, 5.0))), Series("b", ((0.0, 4.0), (100.0, 6.5)))]
    chart = draw("t", series)
    assert [curve.name for curve in chart.curves] == ["a", "b"]
    low, high, last = vertices(chart.curves[0].polyline)
    assert (low[0], last[0]) == (charts.LEFT, charts.WIDTH - charts.RIGHT)
    assert [read_off(chart, point[1]) for point in (low, high, last)] == pytest.approx([3.0, 7.0, 5.0], abs=0.03)
    assert read_off(chart, vertices(chart.curves[1].polyline)[1][1]) == pytest.approx(6.5, abs=0.03)
    assert chart.curves[1].last == "6.5"


def test_values_that_span_decades_have_a_logarithmic_axis() -> None:
    values = [10.0 ** (k / 10 - 4) for k in range(40)]
    chart = draw("t", [Series("a", tuple((float(k), value) for k, value in enumerate(values)))])
    heights = [y for _, y in vertices(chart.curves[0].polyline)]
    steps = [after - before for before, after in pairwise(heights)]
    assert max(steps) - min(steps) < 0.21
    assert read_off(chart, heights[0], is_log=True) == pytest.approx(1e-4, rel=0.02)
    assert [tick.label for tick in chart.y_ticks] == ["0.0001", "0.001", "0.01", "0.1"]


def test_values_without_a_place_on_a_logarithmic_axis_are_counted() -> None:
    points = tuple((float(k), 0.0 if k == 5 else 10.0 ** (k / 20)) for k in range(100))
    chart = draw("t", [Series("a", points)], note="So it is.")
    assert chart.note == "So it is. 1 values that are not positive have no place on the logarithmic axis."
    assert len(vertices(chart.curves[0].polyline)) == 99


@pytest.mark.parametrize("points", [((5.0, 2.0),), ((0.0, 0.0), (9.0, 0.0)), ((0.0, -3.0), (9.0, -3.0))])
def test_flat_and_single_values_stay_within_the_plot(points: tuple[tuple[float, float], ...]) -> None:
    chart = draw("t", [Series("a", points)])
    for x, y in vertices(chart.curves[0].polyline):
        assert charts.LEFT <= x <= charts.WIDTH - charts.RIGHT and charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM
    assert len(chart.y_ticks) >= 2


def test_thinning_keeps_the_ends_and_every_extreme() -> None:
    points = [(float(k), math.sin(0.001 * k)) for k in range(20_000)]
    points[7_777] = (7_777.0, 9.0)
    points[123] = (123.0, -9.0)
    few = thinned(points)
    assert len(few) <= 502 and few == sorted(few)
    assert {points[0], points[-1], points[7_777], points[123]} <= set(few)


def test_the_moving_mean_of_a_line_is_the_line() -> None:
    chart = draw("t", [Series("a", tuple((float(k), 2.0) for k in range(200)))], style="noisy")
    (curve,) = chart.curves
    assert {y for _, y in vertices(curve.mean)} == {y for _, y in vertices(curve.polyline)}
    assert draw("t", [Series("a", ((0.0, 1.0), (1.0, 2.0)))], style="noisy").curves[0].mean == ""


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0.0, 1.0, ["0", "0.25", "0.5", "0.75", "1"]), (0.0, 800.0, ["0", "200", "400", "600", "800"])],
)
def test_ticks_are_round_numbers(low: float, high: float, labels: list[str]) -> None:
    assert [tick.label for tick in Scale(low, high, 0.0, 100.0).ticks()] == labels


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2000.0, "2,000"),
        (0.05, "0.05"),
        (1e-5, "1e-5"),
        (12000.0, "12,000"),
        (3.5e6, "3.5e6"),
        (-0.25, "-0.25"),
        (0.0, "0"),
    ],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert label(value) == text
