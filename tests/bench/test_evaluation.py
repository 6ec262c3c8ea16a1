"""Rows of the evaluation, without its runs."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from framework.bench.evaluation import LISTS, METHODS, RECONSTRUCTION, _ellipsoid_mesh, jobs, prompts_of, suite
from framework.bench.processes import ROOT
from framework.bench.rows import Measure, Report, Row
from framework.toybox.captions import parse_scene
from framework.toybox.evaluation.ellipsoid import Ellipsoid
from framework.toybox.evaluation.voxels import intersection_over_union, voxelize


def row(name: str, score: float | None, right: float) -> Row:
    measures = Measure(name="shape score", value=score), Measure(name="objects right", value=right, unit="%")
    return Row(name=name, measures=measures, commit="c", machine="m", seed=0, seconds=1.0)


def test_the_default_runs_24_prompts_and_eight_of_them_with_two_more_seeds() -> None:
    default = jobs(METHODS[0])
    seeds = Counter(job.seed for job in default)
    assert seeds == {0: 24, 1: 8, 2: 8}
    assert Counter(job.group for job in default if job.seed == 0) == dict.fromkeys(LISTS, 8)
    assert {job.group for job in default if job.seed == 1} == set(LISTS)
    assert len({job.folder for job in default}) == len(default)


def test_reconstruction_from_true_views_is_a_reference_on_every_list() -> None:
    (method,) = [item for item in METHODS if item.name == "reconstruction from true views"]
    assert len(jobs(method)) == 24 and (ROOT / method.launch[1]).is_file()


def test_no_row_has_the_name_of_another() -> None:
    found = suite()
    names = [case.name for case in found.cases] + [summary.name for summary in found.summaries]
    assert len(names) == len(set(names))


def test_summaries_are_shares_and_interquartile_means_over_the_rows_there_are() -> None:
    summary = next(item for item in suite().summaries if item.name == "default, test-seen, all")
    assert summary.of(Report("evaluation")) is None

    prompts = prompts_of("test-seen")
    scores = [-9.0, 0.2, 0.4, None, 0.6, 9.0]
    rows = [
        row(f"default, test-seen, {prompt}", score, 100.0 * (i < 3))
        for i, (prompt, score) in enumerate(zip(prompts, scores, strict=False))
    ]
    outcome = summary.of(Report("evaluation", {item.name: item for item in rows}))
    assert outcome is not None
    values = {measure.name: measure for measure in outcome.measures}
    assert abs((values["shape score"].value or 0.0) - 0.4) < 1e-9 and values["shape score"].at_least == 0.35
    assert values["objects right"].value == 50.0
    assert outcome.note.startswith("Over 6 of ")


def test_what_field_rule_and_prior_cost_adds_up_to_a_full_score() -> None:
    summary = next(item for item in suite().summaries if item.name == "where shape is lost, test-pair")
    scores = {RECONSTRUCTION: 0.9, "oracle": 0.7, "default": 0.4}
    rows = [row(f"{name}, test-pair, {prompts_of('test-pair')[0]}", score, 100.0) for name, score in scores.items()]
    assert summary.of(Report("evaluation", {item.name: item for item in rows[:2]})) is None
    outcome = summary.of(Report("evaluation", {item.name: item for item in rows}))
    assert outcome is not None
    assert [round(measure.value or 0.0, 6) for measure in outcome.measures] == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("side", [1.0, -1.0], ids=["as it is", "mirrored"])
def test_the_mesh_of_an_ellipsoid_fills_the_same_cells(side: float) -> None:
    ellipsoid = Ellipsoid(torch.tensor([0.1, 0.0, -0.1]), torch.diag(torch.tensor([2.0 * side, 3.0, 1.5])))
    mesh = _ellipsoid_mesh(ellipsoid, parse_scene("a red cube"))
    assert intersection_over_union(voxelize(mesh), ellipsoid.cells(64)) > 0.97
