"""Medians of functions that are called in turn."""

from __future__ import annotations

import time

import pytest

from framework.bench.timing import interleaved_medians


def test_functions_take_turns() -> None:
    calls: list[str] = []
    interleaved_medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, warm_ups=1)
    assert calls == ["a", "b"] * 3


def test_the_median_is_in_milliseconds_and_leaves_warm_ups_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    durations = iter([0.5, 0.02, 0.01, 0.3])

    def work() -> None:
        now[0] += next(durations)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    assert interleaved_medians({"f": work}, repeats=3)["f"] == pytest.approx(20.0)
