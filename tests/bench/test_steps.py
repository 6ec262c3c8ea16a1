"""Speed from the logs of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from framework.bench.rows import BenchError
from framework.bench.steps import speed, times_of_steps


def write_log(folder: Path, times: dict[int, float]) -> None:
    writer = EventFileWriter(str(folder))
    for step, time in times.items():
        summary = Summary(value=[Summary.Value(tag="loss/total", simple_value=0.5)])
        writer.add_event(Event(step=step, wall_time=time, summary=summary))
    writer.close()


def test_the_steps_of_the_window_alone_are_counted(tmp_path: Path) -> None:
    write_log(tmp_path, {100: 1000.0, 200: 1100.0, 250: 1104.0, 300: 1108.0, 400: 2000.0})
    assert speed(times_of_steps(tmp_path), 300, steps=100) == pytest.approx(12.5)


def test_a_run_that_is_too_short_is_an_error(tmp_path: Path) -> None:
    write_log(tmp_path, {10: 1000.0, 200: 1001.0})
    with pytest.raises(BenchError, match="no entry for step 300; its log ends at step 200"):
        speed(times_of_steps(tmp_path), 300, steps=100)
