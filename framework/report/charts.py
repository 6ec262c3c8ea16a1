"""Line charts as plain geometry, which the template writes as SVG.

Axes are chosen from the data: a logarithmic one where values span decades. Curves of many points are thinned so that
every extreme stays; noisy ones have a moving mean drawn over them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from framework.report.record import Points

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 12, 30

_LOG_SPAN = 30.0  # Ratio of largest to smallest value from which an axis is logarithmic.
_MAX_POINTS = 500
_MEAN_POINTS = 160
Style = Literal["plain", "noisy", "dots"]


@dataclass(frozen=True)
class Series:
    """A named curve."""

    name: str
    points: Points


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, in pixels."""

    position: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Values to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._warped(self.low), self._warped(self.high)
        return self.start + (self.end - self.start) * (self._warped(value) - low) / (high - low)

    def ticks(self) -> tuple[Tick, ...]:
        """Round values within the range, about five of them."""
        values = _log_values(self.low, self.high) if self.is_log else _linear_values(self.low, self.high)
        return tuple(Tick(self(value), label(value)) for value in values)

    def _warped(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


@dataclass(frozen=True)
class Curve:
    """A series as SVG has it.

    Attributes:
        name: Of the series.
        polyline: Its points, `x,y x,y ...`.
        mean: Points of its moving mean; empty where none is drawn.
        last: Its last value.
    """

    name: str
    polyline: str
    mean: str
    last: str


@dataclass(frozen=True)
class Chart:
    """A chart of `WIDTH` x `HEIGHT` pixels, its plot within the margins `LEFT` to `BOTTOM`."""

    title: str
    note: str
    style: Style
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def draw(
    title: str, series: Sequence[Series], *, style: Style = "plain", is_log: bool | None = None, note: str = ""
) -> Chart:
    """A chart of one or more series over the training steps.

    Args:
        title: What is drawn.
        series: With at least one point each.
        style: `plain` lines, `noisy` ones with a moving mean, or `dots`.
        is_log: Whether the axis of the values is logarithmic; by default where they span decades.
        note: A sentence to stand below.
    """
    values = [value for item in series for _, value in item.points]
    steps = [step for item in series for step, _ in item.points]
    is_log = _spans_decades(values) if is_log is None else is_log
    hidden = sum(value <= 0.0 for value in values) if is_log else 0
    if hidden:
        note = f"{note} {hidden} values that are not positive have no place on the logarithmic axis.".strip()
        values = [value for value in values if value > 0.0]
    x = Scale(*_widened(min(steps), max(steps)), float(LEFT), float(WIDTH - RIGHT))
    low, high = (min(values) / 1.15, max(values) * 1.15) if is_log else _padded(min(values), max(values))
    y = Scale(low, high, float(HEIGHT - BOTTOM), float(TOP), is_log)
    curves = tuple(_curve(item, x, y, style) for item in series)
    return Chart(title, note, style, curves, x.ticks(), y.ticks())


def label(value: float) -> str:
    """A number as a reader wants it: `2,000`, `0.05`, `1e-5`."""
    text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.3g}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _curve(series: Series, x: Scale, y: Scale, style: Style) -> Curve:
    points = [point for point in series.points if not y.is_log or point[1] > 0.0]
    mean = _moving_mean(points, is_log=y.is_log) if style == "noisy" and len(points) >= 20 else []
    return Curve(series.name, _path(thinned(points), x, y), _path(mean, x, y), label(series.points[-1][1]))


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_MAX_POINTS` points: both ends, and the extremes of equal stretches in between."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    size = math.ceil(2 * len(points) / (_MAX_POINTS - 2))
    kept = {0, len(points) - 1}
    for first in range(0, len(points), size):
        stretch = range(first, min(first + size, len(points)))
        kept |= {min(stretch, key=lambda i: points[i][1]), max(stretch, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def _moving_mean(points: Sequence[tuple[float, float]], *, is_log: bool) -> list[tuple[float, float]]:
    """Mean of the points around each place, geometric on a logarithmic axis; the window is cut at the ends."""
    warped = [math.log(value) if is_log else value for _, value in points]
    sums = [0.0, *accumulate(warped)]
    reach, last = max(2, len(points) // 24), len(points) - 1
    result = []
    for k in range(_MEAN_POINTS):
        i = round(k * last / (_MEAN_POINTS - 1))
        start, end = max(0, i - reach), min(last, i + reach) + 1
        mean = (sums[end] - sums[start]) / (end - start)
        result.append((points[i][0], math.exp(mean) if is_log else mean))
    return list(dict.fromkeys(result))


def _spans_decades(values: Sequence[float]) -> bool:
    """Whether nearly all values are positive, and the largest is many times the smallest."""
    positive = [value for value in values if value > 0.0]
    return len(positive) >= 0.95 * len(values) and max(positive) >= _LOG_SPAN * min(positive)


def _padded(low: float, high: float) -> tuple[float, float]:
    """A range with some air; down to zero where that is not far."""
    low, high = _widened(low, high)
    air = 0.06 * (high - low)
    bottom = 0.0 if 0.0 <= low < 0.6 * high else low - air
    return bottom, high + air


def _widened(low: float, high: float) -> tuple[float, float]:
    """The range itself, unless it is a point."""
    if low < high:
        return low, high
    air = 0.5 * abs(low) or 1.0
    return low - air, high + air


def _linear_values(low: float, high: float) -> list[float]:
    raw = (high - low) / 4.5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _log_values(low: float, high: float) -> list[float]:
    first, last, decades = math.floor(math.log10(low)), math.ceil(math.log10(high)), math.log10(high / low)
    factors = (1, 2, 5) if decades <= 2.0 else (1,)
    powers = range(first, last + 1, max(1, math.ceil(decades / 7.0)))
    values = [float(f"{factor}e{power}") for power in powers for factor in factors]
    return [value for value in values if low <= value <= high]
