"""`metrics.csv`: one row a step, whole after every write, continued by a resumed run."""

from __future__ import annotations

import csv
from pathlib import Path

from framework.systems.metrics import MetricsFile


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, start_step=0)
    metrics.write(1, {"loss": 0.123456789})
    assert rows(path) == [{"step": "1", "loss": "0.123457"}]
    metrics.write(2, {"loss": float("nan")})
    assert rows(path)[1] == {"step": "2", "loss": "nan"}


def test_a_late_column_is_empty_above(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, start_step=0)
    metrics.write(1, {"a": 1.0})
    metrics.write(2, {"a": 2.0, "b,c": 3.0})
    metrics.write(3, {"b,c": 4.0})
    assert rows(path) == [
        {"step": "1", "a": "1", "b,c": ""},
        {"step": "2", "a": "2", "b,c": "3"},
        {"step": "3", "a": "", "b,c": "4"},
    ]


def test_a_resumed_run_forgets_what_it_will_write_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, start_step=0)
    for step in (1, 10, 20, 30):
        metrics.write(step, {"a": float(step)})
    resumed = MetricsFile(path, start_step=20)
    assert [row["step"] for row in rows(path)] == ["1", "10", "20"]
    resumed.write(30, {"a": 5.0, "b": 1.0})
    assert rows(path)[-1] == {"step": "30", "a": "5", "b": "1"}


def test_a_row_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,a,b\n1,2,3\n12")  # of a row that began with 120
    MetricsFile(path, start_step=500).write(130, {"a": 1.0, "b": 2.0})
    assert [row["step"] for row in rows(path)] == ["1", "130"]


def test_a_new_run_starts_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    MetricsFile(path, start_step=0).write(1, {"a": 1.0})
    MetricsFile(path, start_step=0)
    assert rows(path) == []
