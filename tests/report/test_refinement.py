"""Before and after in the report: read from files that may be broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.run_directory import RunDirectory
from framework.export.png import encode_png
from framework.report.page import write_report
from framework.report.record import RunRecord
from framework.report.refinement import read_refinement

VIEWS = [
    {"azimuth_deg": 0.0, "result against asset": 20.0},
    {"azimuth_deg": 180.0, "result against asset": 24.0},
]


def written(folder: Path, content: Any) -> RunDirectory:
    run = RunDirectory(folder)
    run.refinement.write_text(content if isinstance(content, str) else json.dumps(content))
    run.refinement_picture.write_bytes(encode_png(torch.rand(8, 12, 3)))
    return run


def test_a_row_has_a_value_for_each_view_and_their_mean(tmp_path: Path) -> None:
    run = written(tmp_path, {"rows": ["asset", "result"], "views": VIEWS})
    found = read_refinement(run)
    assert found is not None and found.azimuths == (0.0, 180.0) and found.shown == ("asset", "result")
    (row,) = found.rows
    assert (row.name, row.values, row.mean) == ("result against asset", (20.0, 24.0), 22.0)
    assert (found.picture.width, found.picture.height) == (12, 8) and not found.knows_truth
    page = write_report(run).read_text()
    assert "22.0" in page and "How it should look is not known" in page


def test_a_known_truth_is_said_to_be_one(tmp_path: Path) -> None:
    views = [{**view, "asset against scene": 12.0, "result against scene": 21.0} for view in VIEWS]
    page = write_report(written(tmp_path, {"rows": ["asset", "result", "scene"], "views": views})).read_text()
    assert "it can be told what has become better" in page and "asset, result, scene" in page


def test_a_run_without_one_shows_none(tmp_path: Path) -> None:
    assert read_refinement(RunDirectory(tmp_path)) is None
    assert "Before and after" not in write_report(RunDirectory(tmp_path)).read_text()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        {},
        {"rows": ["asset"], "views": []},
        {"rows": [], "views": [{"azimuth_deg": 0.0}]},
        {"rows": ["asset"], "views": [*VIEWS, {"azimuth_deg": 90.0}]},
        {"rows": ["asset"], "views": [{"azimuth_deg": 0.0, "result against asset": None}]},
        {"rows": ["asset"], "views": [{"azimuth_deg": 0.0, "result against asset": float("nan")}]},
    ],
)
def test_what_is_broken_is_named_and_left_out(tmp_path: Path, content: Any) -> None:
    run = written(tmp_path, content)
    record = RunRecord.read(run)
    assert record.refinement is None
    assert any(line.startswith("refinement.json cannot be read") for line in record.problems)
    assert "Before and after" not in write_report(run).read_text()


def test_a_picture_that_is_missing_or_broken_leaves_it_out(tmp_path: Path) -> None:
    run = written(tmp_path, {"rows": ["asset", "result"], "views": VIEWS})
    for spoil in (lambda: run.refinement_picture.write_bytes(b"no picture"), run.refinement_picture.unlink):
        spoil()
        assert RunRecord.read(run).refinement is None
        assert "Before and after" not in write_report(run).read_text()
