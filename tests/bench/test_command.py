"""`python -m framework.bench`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.bench.__main__ import BENCHMARKS, main
from framework.bench.rows import Report
from framework.bench.suite import Suite


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, counter: Any, at_commit: Callable[[str], None]) -> Any:
    """`steps` with two rows that take no time."""
    monkeypatch.setattr("framework.bench.steps.suite", lambda: Suite([counter.case("a", 5.0), counter.case("b")]))
    return counter


def test_the_page_follows_from_the_files_that_a_measurement_writes(tmp_path: Path, steps: Any) -> None:
    path = tmp_path / "benchmarks" / "steps.json"
    assert main(["steps", "--json", str(path)], docs=tmp_path) == 0
    assert list(Report.load(path, "steps").rows) == ["a", "b"]
    assert "| a | time | 5.00 ms |" in (tmp_path / "benchmarks.md").read_text()
    assert main(["--check"], docs=tmp_path) == 0


def test_a_second_run_measures_nothing_and_changes_nothing(tmp_path: Path, steps: Any) -> None:
    path = tmp_path / "benchmarks" / "steps.json"
    main(["steps", "--json", str(path)], docs=tmp_path)
    before = path.read_bytes()
    main(["steps", "--json", str(path)], docs=tmp_path)
    assert path.read_bytes() == before and steps.calls == ["a", "b"]


def test_a_page_that_differs_from_the_files_fails_the_check(tmp_path: Path, steps: Any, capsys: Any) -> None:
    assert main(["--check"], docs=tmp_path) == 1
    assert main(["--pages"], docs=tmp_path) == 0
    assert main(["--check"], docs=tmp_path) == 0
    text = (tmp_path / "benchmarks.md").read_text()
    (tmp_path / "benchmarks.md").write_text(text.replace("Not measured yet.", "118 ms", 1))
    assert main(["--check"], docs=tmp_path) == 1
    assert "python -m framework.bench --pages" in capsys.readouterr().err


def test_rows_that_were_edited_by_hand_fail_the_check(tmp_path: Path, steps: Any) -> None:
    path = tmp_path / "benchmarks" / "steps.json"
    main(["steps", "--json", str(path)], docs=tmp_path)
    path.write_text(path.read_text().replace('"value": 5.0', '"value": 4.0'))
    assert main(["--check"], docs=tmp_path) == 1


def test_a_file_elsewhere_leaves_the_page_alone(tmp_path: Path, steps: Any) -> None:
    main(["steps", "--json", str(tmp_path / "other" / "steps.json")], docs=tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_wrong_usage_is_an_error_without_a_traceback(tmp_path: Path, steps: Any, capsys: Any) -> None:
    assert main([], docs=tmp_path) == 2
    path = tmp_path / "steps.json"
    path.write_text("{")
    assert main(["steps", "--json", str(path)], docs=tmp_path) == 2
    assert "Delete it to begin anew" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_rows_with_names_of_their_own(name: str) -> None:
    suite = BENCHMARKS[name].suite()
    names = [case.name for case in suite.cases] + [summary.name for summary in suite.summaries]
    assert suite.cases and len(set(names)) == len(names)


def test_the_page_of_the_project_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_the_check_needs_no_torch() -> None:
    code = "import sys; from framework.bench.__main__ import main; main(['--check']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
