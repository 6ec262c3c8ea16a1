"""Schedules: values, ranges, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from framework.core.schedule import Constant, parse_schedule
from framework.core.step import StepInfo


def value(tree: Any, step: int, max_steps: int = 100) -> float:
    return parse_schedule(tree)(StepInfo(step, max_steps))


@pytest.mark.parametrize(
    ("shape", "halfway"),
    [("linear", 5.5), ("cosine", 5.5), ("exponential", 10**0.5), ("square-root", 1 + 9 * 0.5**0.5)],
)
def test_a_ramp_runs_from_one_end_to_the_other(shape: str, halfway: float) -> None:
    tree = {"type": shape, "from": 1, "to": 10, "between": [20, 60]}
    assert value(tree, 20) == pytest.approx(1)
    assert value(tree, 40) == pytest.approx(halfway)
    assert value(tree, 60) == pytest.approx(10)


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential", "square-root"])
@pytest.mark.parametrize("ends", [(1.0, 10.0), (10.0, 1.0)])
def test_a_ramp_is_monotonous_and_constant_outside_its_range(shape: str, ends: tuple[float, float]) -> None:
    tree = {"type": shape, "from": ends[0], "to": ends[1], "between": [20, 60]}
    values = [value(tree, step) for step in range(0, 100, 5)]
    assert values == sorted(values, reverse=ends[0] > ends[1])
    assert value(tree, 0) == value(tree, 19) == pytest.approx(ends[0])
    assert value(tree, 61) == value(tree, 5000) == pytest.approx(ends[1])


def test_a_cosine_leaves_and_arrives_without_a_slope() -> None:
    tree = {"type": "cosine", "from": 0, "to": 1}
    assert value(tree, 1) == pytest.approx((1 - math.cos(math.pi / 100)) / 2)
    assert value(tree, 1) < 0.001 and value(tree, 99) > 0.999


def test_between_counts_steps_and_during_counts_shares_of_the_run() -> None:
    steps = {"type": "linear", "from": 0, "to": 1, "between": [0, 50]}
    shares = {"type": "linear", "from": 0, "to": 1, "during": [0, 0.5]}
    whole = {"type": "linear", "from": 0, "to": 1}
    assert [value(steps, 25, max_steps) for max_steps in (50, 100, 1000)] == [0.5, 0.5, 0.5]
    assert [value(shares, 25, max_steps) for max_steps in (50, 100, 1000)] == [1.0, 0.5, pytest.approx(0.05)]
    assert value(whole, 25) == 0.25


def test_a_decimal_point_makes_no_epochs_of_steps() -> None:
    tree = {"type": "linear", "from": 0, "to": 1, "between": [0, 5000.0]}
    assert value(tree, 2500, 10_000) == 0.5


def test_steps_hold_each_value_from_its_step_on() -> None:
    tree = {"type": "steps", "values": {5: 128, 0: 64, 10: 512.0}}
    assert [value(tree, step) for step in (0, 4, 5, 9, 10, 999)] == [64, 64, 128, 128, 512, 512]


@pytest.mark.parametrize(
    "tree",
    [
        7.5,
        {"type": "linear", "from": 0.0, "to": 1.0, "between": [5.0, 10.0]},
        {"type": "cosine", "from": 0.98, "to": 0.5, "during": [0.0, 0.2]},
        {"type": "exponential", "from": 0.1, "to": 0.01},
        {"type": "steps", "values": {0: 64.0, 5000: 512.0}},
    ],
)
def test_a_dump_is_what_was_read_and_reads_as_an_equal_schedule(tree: Any) -> None:
    schedule = parse_schedule(tree)
    assert schedule.dump() == tree
    assert parse_schedule(schedule.dump()) == schedule
    assert parse_schedule(schedule) is schedule


def test_bounds_enclose_every_value() -> None:
    assert parse_schedule(3).bounds() == (3, 3)
    assert parse_schedule({"type": "constant", "value": 2}) == Constant(2.0)
    assert parse_schedule({"type": "linear", "from": 5, "to": -1}).bounds() == (-1, 5)
    assert parse_schedule({"type": "steps", "values": {0: 3, 5: 1, 9: 2}}).bounds() == (1, 3)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (True, "expected a number or a schedule such as {type: linear, from: 0, to: 1}, got True."),
        ("5", "expected a number or a schedule such as {type: linear, from: 0, to: 1}, got '5'."),
        ({"from": 1, "to": 2}, "'type' is missing. Known: constant, linear, cosine, exponential, square-root, steps."),
        ({"type": "liniar"}, "type: no schedule is called 'liniar'. Did you mean 'linear'?"),
        ({"type": "linear", "from": 1}, "to: expected a number, got None."),
        ({"type": "linear", "from": 1, "too": 2}, "unknown key 'too' for schedule 'linear'. Did you mean 'to'?"),
        (
            {"type": "exponential", "from": 0, "to": 1},
            "an exponential schedule needs positive ends, got from 0.0 to 1.0.",
        ),
        (
            {"type": "linear", "from": 0, "to": 1, "between": [0, 5], "during": [0, 1]},
            "give either 'between' (steps) or 'during' (share of the run), not both.",
        ),
        (
            {"type": "linear", "from": 0, "to": 1, "during": [0, 500]},
            "during: expected shares of the run in [0, 1], got [0.0, 500.0]. For steps use 'between'.",
        ),
        ({"type": "linear", "from": 0, "to": 1, "between": [0]}, "between: expected two numbers, got [0]."),
        (
            {"type": "linear", "from": 0, "to": 1, "between": [9, 3]},
            "between: the first number must be below the second, got [9, 3].",
        ),
        ({"type": "steps", "values": {5: 1}}, "values: the value at step 0 is missing."),
        ({"type": "steps", "values": [1, 2]}, "values: expected a mapping from steps to numbers, got [1, 2]."),
        ({"type": "constant"}, "value: expected a number, got None."),
        ({"type": "linear", "from": math.nan, "to": 1}, "from: expected a number, got nan."),
    ],
)
def test_a_malformed_schedule_is_refused_with_what_to_change(tree: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_schedule(tree)
    assert str(caught.value) == message
