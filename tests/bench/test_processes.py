"""Processes that are measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from framework.bench.processes import GIB, Finished, largest_memory, launch, run, run_folder
from framework.bench.rows import BenchError


def test_status_and_both_streams_are_kept() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    finished = run([sys.executable, "-c", code])
    assert finished.status == 3
    assert "out" in finished.output and "err" in finished.output


def test_time_and_memory_are_those_of_the_process() -> None:
    size = 700 << 20
    finished = run([sys.executable, "-c", f"import time; x = b'x' * {size}; time.sleep(0.2)"])
    assert finished.peak_bytes > size
    assert finished.seconds > 0.2


def test_a_process_that_hangs_is_killed() -> None:
    finished = run([sys.executable, "-c", "import time; time.sleep(60)"], timeout_seconds=0.5)
    assert finished.status < 0 and finished.seconds < 30


def test_an_unexpected_end_shows_what_was_printed() -> None:
    with pytest.raises(BenchError, match=r"ended with status 2:\n(.|\n)*no-such-file"):
        launch("--config", "no-such-file.yaml")
    assert launch("--config", "no-such-file.yaml", expected_status=2).status == 2


def test_the_run_folder_is_the_only_one(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds 0 run folders"):
        run_folder(tmp_path)
    folder = tmp_path / "analytic" / "a-sphere@1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    assert run_folder(tmp_path) == folder


def test_the_largest_memory_of_a_run_is_that_of_its_largest_phase_or_of_its_end(tmp_path: Path) -> None:
    for stage, size in (("coarse", 3.0), ("fine", 1.0)):
        folder = tmp_path / "analytic" / "a-sphere@1" / stage
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(f'{{"peak_memory_gib": {size}}}')
    assert largest_memory(Finished(0, 1.0, 2 * GIB, ""), tmp_path) == 3.0
    assert largest_memory(Finished(0, 1.0, 4 * GIB, ""), tmp_path) == 4.0
