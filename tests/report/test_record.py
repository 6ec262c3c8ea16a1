"""What the files of a run say."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from framework.core.run_directory import RunDirectory
from framework.report.record import RunRecord


def test_metrics_are_read_while_they_are_being_written(make_run: Any) -> None:
    run = make_run(mesh=False)
    run.metrics.write_text("step,a,b,c\n1,0.5,,\n2,nan,3,\n3,1e-3,4,\n4,0.2")
    record = RunRecord.read(run)
    assert record.metrics == {"a": ((1.0, 0.5), (3.0, 0.001), (4.0, 0.2)), "b": ((2.0, 3.0), (3.0, 4.0))}
    assert record.problems == ()


def test_a_table_without_steps_is_a_problem(make_run: Any) -> None:
    run = make_run(mesh=False)
    run.metrics.write_text("time,a\n1,2\n")
    record = RunRecord.read(run)
    assert record.metrics == {}
    assert record.problems == (
        "metrics.csv cannot be read, so that what it holds is left out: it has no column 'step'.",
    )


def test_the_beginning_of_a_run_is_what_it_noted_or_the_time_in_its_name(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a@20260102-030405-2")
    run.root.mkdir()
    assert RunRecord.read(run).started == datetime(2026, 1, 2, 3, 4, 5)
    run.note({"started": "2025-05-06T07:08:09"})
    assert RunRecord.read(run).started == datetime(2025, 5, 6, 7, 8, 9)
    assert RunRecord.read(RunDirectory(tmp_path / "elsewhere")).started is None
