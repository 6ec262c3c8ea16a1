"""Robust means and their intervals."""

from __future__ import annotations

import pytest

from framework.bench.statistics import estimate, interquartile_mean, mean


def test_the_interquartile_mean_leaves_out_both_ends() -> None:
    assert interquartile_mean([100.0, 1.0, 2.0, 3.0, 4.0, -100.0, 3.0, 2.0]) == 2.5
    assert interquartile_mean([7.0]) == 7.0
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0  # a quarter of three is no whole value


def test_an_estimate_holds_the_statistic_within_its_interval() -> None:
    found = estimate([float(value) for value in range(20)], mean)
    assert found is not None
    assert found.value == 9.5 and found.count == 20
    # The standard error is 5.77 / sqrt(20) = 1.29, so the interval is about 9.5 -+ 2.5.
    assert found.low == pytest.approx(9.5 - 2.5, abs=0.4) and found.high == pytest.approx(9.5 + 2.5, abs=0.4)
    assert found == estimate([float(value) for value in range(20)], mean)


def test_equal_values_leave_no_doubt_and_no_values_no_estimate() -> None:
    found = estimate([3.0] * 5, interquartile_mean)
    assert found is not None and found.low == found.value == found.high == 3.0
    assert estimate([], mean) is None
