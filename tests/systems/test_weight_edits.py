"""Weights set by hand are a function of the step that the run keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.core.errors import UserError
from framework.core.run_directory import RunDirectory
from framework.core.schedule import Constant, parse_schedule
from framework.core.step import StepInfo
from framework.systems.weight_edits import WeightEdit, WeightEdits, check_range, editable_range

RAMP = parse_schedule({"type": "linear", "from": 0.0, "to": 10.0})


def weights(edits: WeightEdits, path: str = "losses.a") -> list[float]:
    return [edits.weight(path, RAMP, StepInfo(step, 10)) for step in range(6)]


def test_an_edit_holds_from_its_step_on_until_the_next_and_only_for_its_term(tmp_path: Path) -> None:
    edits = WeightEdits()
    assert weights(edits) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    edits.add(WeightEdit(2, "losses.a", 7.0), RunDirectory(tmp_path))
    edits.add(WeightEdit(4, "losses.a", None), RunDirectory(tmp_path))
    assert weights(edits) == [0.0, 1.0, 7.0, 7.0, 4.0, 5.0]
    assert weights(edits, "losses.b") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_run_keeps_them_beside_what_else_it_notes(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.set_state("running", step=2)
    edits = WeightEdits.of_run(run)
    edits.add(WeightEdit(2, "losses.a", 7.0), run)
    run.set_state("interrupted", step=3)
    assert weights(WeightEdits.of_run(run)) == weights(edits) != weights(WeightEdits())
    assert run.state()["state"] == "interrupted"


def test_an_edit_drops_later_ones_of_the_same_term_that_a_resumed_run_has_not_reached(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    edits = WeightEdits(
        [WeightEdit(1, "losses.a", 1.5), WeightEdit(4, "losses.a", 9.0), WeightEdit(4, "losses.b", 9.0)]
    )
    edits.add(WeightEdit(3, "losses.a", 7.0), run)
    assert weights(edits) == [0.0, 1.5, 1.5, 7.0, 7.0, 7.0]
    assert weights(WeightEdits.of_run(run), "losses.b") == [0.0, 1.0, 2.0, 3.0, 9.0, 9.0]


def test_a_weight_stays_within_the_range_of_its_schedule() -> None:
    assert editable_range(RAMP) == (0.0, 10.0)
    assert editable_range(Constant(2.0)) == (0.0, 4.0) and editable_range(Constant(-2.0)) == (-4.0, 0.0)
    check_range("losses.a", 10.0, RAMP)
    for value in (-0.1, 10.1, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"losses\.a must lie in \[0, 10\], got"):
            check_range("losses.a", value, RAMP)
