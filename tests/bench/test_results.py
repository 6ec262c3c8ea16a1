"""Scores of runs, without the runs."""

from __future__ import annotations

import math
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch
import trimesh

from framework.bench.results import PRIORS, suite, unseen_views, write_strip
from framework.bench.rows import Measure, Report, Row
from framework.structures.mesh import Mesh


def row(name: str, score: float | None, margin: float) -> Row:
    measures = Measure(name="shape score", value=score), Measure(name="identity margin", value=margin)
    return Row(name=name, measures=measures, commit="c", machine="m", seed=0, seconds=1.0)


def test_every_prior_runs_every_development_prompt() -> None:
    names = [case.name for case in suite().cases]
    assert names[0] == "analytic" and len(names) == 1 + 12 * len(PRIORS)
    assert "oracle, a snowman" in names and "network, a blue robot" in names


def test_the_median_is_over_the_prompts_of_one_prior_that_have_a_score() -> None:
    rows = [
        row("oracle, a red cube", 0.2, -0.1),
        row("oracle, a blue sphere", None, 0.2),
        row("oracle, a snowman", 0.6, 0.3),
        row("oracle, a red car", 0.5, 0.4),
        row("network, a snowman", 0.0, 0.0),
    ]
    oracle = suite().summaries[0].of(Report("results", {item.name: item for item in rows}))
    assert oracle is not None
    assert [m.value for m in oracle.measures] == [0.5, pytest.approx(0.25), 75.0]
    assert oracle.measures[0].at_least == 0.45
    assert oracle.note == "Over 4 of 12 prompts, 3 of which have a shape score."


def test_there_is_no_median_before_a_run() -> None:
    assert all(summary.of(Report("results")) is None for summary in suite().summaries)


def test_unseen_cameras_look_from_all_around_at_the_distance_of_the_training() -> None:
    views = unseen_views(0)
    assert len(views) == 8 and torch.equal(views.azimuth, unseen_views(0).azimuth)
    assert views.azimuth.max() - views.azimuth.min() > math.pi
    torch.testing.assert_close(views.cameras.positions.norm(dim=1), torch.full((8,), 2.6))


def test_a_strip_shows_the_mesh_from_four_sides_the_front_first(tmp_path: Path) -> None:
    box = trimesh.creation.box(extents=(0.2, 1.0, 1.0))  # broad in front, narrow from the side
    mesh = Mesh(torch.from_numpy(box.vertices).float(), torch.from_numpy(box.faces).long())
    write_strip(mesh, tmp_path / "strip.png")
    image = imageio.imread(tmp_path / "strip.png")
    widths = [int((image[:, 98 * i : 98 * i + 96] < 250).any(axis=(0, 2)).sum()) for i in range(4)]
    assert image.shape[:2] == (98, 4 * 98)
    assert widths[0] > 2 * widths[1] and abs(widths[0] - widths[2]) <= 2
