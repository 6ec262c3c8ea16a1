"""Runs whose right answer is known: a sphere in closed form, and toybox scenes that a prompt names."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from framework.bench.processes import ROOT, Finished, failure, launch, run, run_folder
from framework.bench.rows import Measure, Report, Row
from framework.bench.suite import Case, Outcome, Suite, Summary
from framework.cli import train
from framework.core.config import load_config
from framework.core.run_directory import RunDirectory, prompt_slug
from framework.core.step import named_generator
from framework.diffusion.analytic import AnalyticPrior
from framework.diffusion.prior import load_prior
from framework.export.loading import load_glb
from framework.export.mesh_rendering import MeshRenderer
from framework.export.turntable import turntable_views
from framework.structures.mesh import Mesh
from framework.structures.views import Views
from framework.systems.distillation import Distillation
from framework.systems.images import sheet, write_png
from framework.toybox.captions import caption, parse_scene
from framework.toybox.evaluation.shape_score import shape_score
from framework.toybox.evaluation.voxels import cell_centers, intersection_over_union, voxelize

PROMPTS = ROOT / "configs" / "toybox" / "prompts" / "dev.txt"
ANALYTIC_CONFIG = "configs/debug/analytic.yaml"
_LEAST_PSNR, _LEAST_IOU, _MOST_SECONDS = 30.0, 0.85, 60.0
_UNSEEN_CAMERAS = 8
_LEAST_ORACLE_SCORE = 0.45
_PICTURE_VIEWS, _PICTURE_SIZE = 4, 96
SCORE, MARGIN = "shape score", "identity margin"


@dataclass(frozen=True)
class Prior:
    """A prior whose runs on the development prompts are scored.

    Attributes:
        name: First word of its rows.
        launch: The command line, without the prompt.
        at_least: Target for the median shape score.
    """

    name: str
    launch: tuple[str, ...]
    at_least: float | None = None


PRIORS = (
    Prior("oracle", ("--config", "configs/debug/oracle.yaml"), _LEAST_ORACLE_SCORE),
    Prior("oracle in words", ("--config", "configs/debug/oracle-words.yaml")),
    Prior("network", ("--config", "configs/dreamfusion.yaml", "prior=toybox")),
)


def suite() -> Suite:
    """The analytic run, each prior on each development prompt, and the medians."""
    prompts = PROMPTS.read_text(encoding="ascii").split("\n")[:-1]
    cases = [Case("analytic", _analytic)]
    cases += [_prompt_case(prior, prompt) for prior in PRIORS for prompt in prompts]
    return Suite(cases, [Summary(f"{prior.name}, median", _median_of(prior, prompts)) for prior in PRIORS])


def _analytic(pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        finished = launch("--config", ANALYTIC_CONFIG, f"output_root={folder}")
        directory = RunDirectory.open(run_folder(Path(folder)))
        return Outcome(measures=analytic_measures(directory, finished))


def analytic_measures(directory: RunDirectory, finished: Finished) -> tuple[Measure, ...]:
    """How close a finished run on the analytic prior comes to its sphere."""
    config, _ = load_config(directory.config)
    system, shell = train.build(config, directory, directory.candidates(), argparse.Namespace(gpu=None))
    assert isinstance(system, Distillation)
    prior = load_prior(config.prior, system.device)
    assert isinstance(prior, AnalyticPrior)
    views = unseen_views(config.seed).to(system.device)
    error = (system.render(views, shell.step_info("test"), set()).rgb - prior.truth(views)).square().mean()
    mesh = voxelize(load_glb(directory.mesh / "model.glb"))
    centers = cell_centers(len(mesh))
    sphere = prior.inside(centers.reshape(-1, 3).to(system.device)).cpu().reshape(mesh.shape)
    iou = intersection_over_union(mesh, sphere)
    return (
        Measure(name="PSNR on unseen cameras", value=-10 * math.log10(error.item()), unit="dB", at_least=_LEAST_PSNR),
        Measure(name="IoU of the mesh", value=iou, at_least=_LEAST_IOU),
        Measure(name="command to mesh", value=finished.seconds, unit="s", at_most=_MOST_SECONDS),
    )


def unseen_views(seed: int) -> Views:
    """Views of the whole object that no training step drew."""
    generator = named_generator(seed, "bench.unseen-views")
    azimuth = 2 * math.pi * torch.rand(_UNSEEN_CAMERAS, generator=generator)
    elevation = torch.deg2rad(torch.rand(_UNSEEN_CAMERAS, generator=generator) * 100.0 - 50.0)
    one = torch.ones(_UNSEEN_CAMERAS)
    return Views.orbit(azimuth, elevation, 2.6 * one, math.radians(45.0) * one, height=64, width=64)


def _prompt_case(prior: Prior, prompt: str) -> Case:
    return Case(
        _row_name(prior, prompt),
        lambda pictures: run_and_score(prior.launch, prompt, pictures / f"{prior.name}-{prompt_slug(prompt)}.png"),
    )


def run_and_score(launch: tuple[str, ...], prompt: str, picture: Path, *, at_most: float | None = None) -> Outcome:
    """Scores and picture of one run.

    Args:
        launch: The command line, without the prompt.
        picture: Where the mesh is shown.
        at_most: Target for its seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        mesh, seconds = generate(launch, prompt, Path(folder))
    if len(mesh.faces) == 0:
        return scored(mesh, prompt, seconds, at_most=at_most, note="The run left nothing to export. ")
    write_strip(mesh, picture)
    return scored(mesh, prompt, seconds, at_most=at_most, picture=f"{picture.parent.name}/{picture.name}")


def _row_name(prior: Prior, prompt: str) -> str:
    return f"{prior.name}, {prompt}"


def generate(settings: tuple[str, ...], prompt: str, folder: Path) -> tuple[Mesh, float]:
    """The exported mesh of a run, and its seconds; no faces if the training ended with nothing to export.

    Args:
        settings: The command line, without the prompt.
        prompt: What is made.
        folder: Where the run may lie.

    Raises:
        BenchError: If the run failed before its end.
    """
    arguments = (*settings, f"prompt={prompt}", f"output_root={folder}")
    finished = run([sys.executable, "launch.py", *arguments])
    directory = RunDirectory.open(run_folder(folder))
    if finished.status != 0 and directory.state().get("state") != "finished":
        raise failure(arguments, finished)
    glb = directory.mesh / "model.glb"
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    return load_glb(glb) if glb.is_file() else nothing, finished.seconds


def scored(
    mesh: Mesh,
    prompt: str,
    seconds: float,
    *,
    at_most: float | None = None,
    note: str = "",
    picture: str | None = None,
) -> Outcome:
    """How much a mesh is what its prompt names; `at_most` is a target for the seconds."""
    result = shape_score(mesh, parse_scene(prompt))
    assert result.best_wrong is not None
    if result.score is None:
        note += "An ellipsoid is the right answer, so there is no shape score. "
    return Outcome(
        measures=(
            Measure(name=SCORE, value=result.score),
            Measure(name="IoU", value=result.iou),
            Measure(name="IoU of an ellipsoid", value=result.ellipsoid_iou),
            Measure(name=MARGIN, value=result.margin),
            Measure(name="command to mesh", value=seconds, unit="s", at_most=at_most),
        ),
        note=f"{note}The best wrong name is '{caption(result.best_wrong)}'.",
        picture=picture,
    )


def write_strip(mesh: Mesh, path: Path) -> None:
    """Write a picture of a mesh from four sides, the front first."""
    views = turntable_views(mesh, frames=_PICTURE_VIEWS, size=_PICTURE_SIZE)
    write_png(path, sheet(MeshRenderer(mesh).render(views).rgb, columns=_PICTURE_VIEWS))


def _median_of(prior: Prior, prompts: list[str]) -> Callable[[Report], Outcome | None]:
    """Medians over the prompts that have been run."""
    names = [_row_name(prior, prompt) for prompt in prompts]
    return lambda report: medians(report, names, at_least=prior.at_least)


def medians(report: Report, names: Sequence[str], *, at_least: float | None = None) -> Outcome | None:
    """Medians of the scores of those of the rows that have been measured; None if none has a score.

    Args:
        at_least: Target for the shape score.
    """
    rows = [report.rows[name] for name in names if name in report.rows]
    scores, margins = values_of(rows, SCORE), values_of(rows, MARGIN)
    if not scores:
        return None
    positive = sum(margin > 0.0 for margin in margins) / len(margins)
    return Outcome(
        measures=(
            Measure(name=SCORE, value=statistics.median(scores), at_least=at_least),
            Measure(name=MARGIN, value=statistics.median(margins)),
            Measure(name=f"{MARGIN} positive", value=100.0 * positive, unit="%"),
        ),
        note=f"Over {len(rows)} of {len(names)} prompts, {len(scores)} of which have a shape score.",
    )


def values_of(rows: list[Row], name: str) -> list[float]:
    """What the measure called `name` is in rows that have it."""
    return [m.value for row in rows for m in row.measures if m.name == name and m.value is not None]
