"""The default method on prompts that nothing was tuned on, beside what tells how good that is.

Runs are kept below `outputs/bench/`, by commit, so that their meshes can be scored in other ways too.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import trimesh

from framework.bench.processes import ROOT, failure, run, run_folder
from framework.bench.results import write_strip
from framework.bench.rows import BenchError, Measure, Report
from framework.bench.statistics import Estimate, estimate, interquartile_mean, mean
from framework.bench.suite import SEED, Case, Outcome, Suite, Summary
from framework.core.provenance import commit
from framework.core.run_directory import RunDirectory, prompt_slug
from framework.core.step import named_generator
from framework.diffusion.prior import load_prior
from framework.export.gltf import write_glb
from framework.export.loading import load_glb
from framework.structures.mesh import Mesh
from framework.systems.prior_samples import random_views, samples_of
from framework.systems.scoring import score
from framework.toybox.captions import parse_scene
from framework.toybox.colors import COLORS
from framework.toybox.evaluation.ellipsoid import Ellipsoid, best_ellipsoid
from framework.toybox.evaluation.voxels import scene_cells
from framework.toybox.families import FAMILIES
from framework.toybox.judge.weights import load_judge
from framework.toybox.scenes import SceneSpec, build

PROMPTS = ROOT / "configs" / "toybox" / "prompts"
LISTS = ("test-seen", "test-pair", "test-toy")
PROMPTS_OF_A_LIST = 8
"""Evenly spread over each list; together 24."""
PROMPTS_WITH_MORE_SEEDS = 8
MORE_SEEDS = (1, 2)
_SAMPLED_VIEWS, _SAMPLED_GUIDANCE, _SAMPLED_STEPS = 8, 3.0, 30


@dataclass(frozen=True)
class Method:
    """A way to make objects of prompts.

    Attributes:
        name: First word of its rows.
        launch: The command line, without prompt and seed.
        lists: The prompt lists that it is run on.
        has_more_seeds: Whether some prompts are run with further seeds.
        targets: What is aimed at, by measure, for single objects that were trained.
    """

    name: str
    launch: tuple[str, ...]
    lists: tuple[str, ...] = LISTS
    has_more_seeds: bool = False
    targets: tuple[tuple[str, float], ...] = ()


DEFAULT = ("--config", "configs/dreamfusion.yaml")
METHODS = (
    Method(
        "default",
        DEFAULT,
        has_more_seeds=True,
        targets=(("objects right", 60.0), ("colours right", 80.0), ("shape score", 0.35), ("margin positive", 70.0)),
    ),
    Method("view words", (*DEFAULT, "system.guidance.prompts=view-dependent"), ("test-seen",)),
    Method("no guidance towards the prompt", (*DEFAULT, "system.guidance.guidance_scale=0"), ("test-seen",)),
    Method(
        "oracle",
        ("--config", "configs/debug/oracle.yaml"),
        targets=(("objects right", 90.0), ("shape score", 0.6), ("margin positive", 95.0)),
    ),
    Method("reconstruction from true views", ("--config", "configs/debug/reconstruction.yaml")),
)


@dataclass(frozen=True)
class Job:
    """One run of one method."""

    method: Method
    list_name: str
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        """Of its row."""
        return f"{self.method.name}, {self.list_name}, {self.prompt}" + (f", seed {self.seed}" if self.seed else "")

    @property
    def folder(self) -> Path:
        """Where its run is kept."""
        return _kept_root() / prompt_slug(self.method.name) / self.list_name / f"{prompt_slug(self.prompt)}-{self.seed}"


@cache
def _kept_root() -> Path:
    """Where runs of this version of the code are kept."""
    return ROOT / "outputs" / "bench" / commit()


def suite() -> Suite:
    """All runs, the cases without a run, and what is said of each method on each list."""
    cases = [Case(job.name, _measuring(job)) for method in METHODS for job in jobs(method)]
    cases += [Case(f"start blob, {name}", _start_blob(name)) for name in LISTS]
    cases += [Case(f"best ellipsoid, {name}", _ellipsoids(name)) for name in LISTS]
    cases += [Case(f"default, names shuffled, {name}", _shuffled(name)) for name in LISTS]
    cases += [Case(f"samples of the prior, {name}", _samples(name)) for name in LISTS]
    summaries = [
        Summary(f"{method.name}, {name}, all", _summarizing(method, name))
        for method in METHODS
        for name in method.lists
    ]
    return Suite(cases, summaries)


def jobs(method: Method) -> list[Job]:
    """The runs of a method, list by list."""
    first = [Job(method, name, prompt, SEED) for name in method.lists for prompt in prompts_of(name)]
    if not method.has_more_seeds:
        return first
    spread = [job for index, job in enumerate(first) if index % (len(first) // PROMPTS_WITH_MORE_SEEDS) == 0]
    return first + [Job(method, job.list_name, job.prompt, seed) for seed in MORE_SEEDS for job in spread]


def prompts_of(list_name: str) -> list[str]:
    """The prompts of a list that are run: evenly spread over it."""
    prompts = (PROMPTS / f"{list_name}.txt").read_text(encoding="ascii").split("\n")[:-1]
    return [prompts[index * len(prompts) // PROMPTS_OF_A_LIST] for index in range(PROMPTS_OF_A_LIST)]


def _measuring(job: Job) -> Callable[[Path], Outcome]:
    def measure(pictures: Path) -> Outcome:
        directory = _kept(job)
        path = pictures / f"{prompt_slug(job.name)}.png"
        write_strip(load_glb(directory.model), path)
        values = score(directory.model, parse_scene(job.prompt)).values
        values["seconds"] = directory.state()["seconds"]
        return Outcome(measures=_measures(values), note=_seen(values), picture=f"{pictures.name}/{path.name}")

    return measure


def _kept(job: Job) -> RunDirectory:
    """The finished run of a job; it is started if there is none yet."""
    if not list(job.folder.glob("*/*/mesh/model.glb")):
        arguments = (*job.method.launch, f"prompt={job.prompt}", f"seed={job.seed}", f"output_root={job.folder}")
        finished = run([sys.executable, "launch.py", *arguments])
        if finished.status != 0:
            raise failure(arguments, finished)
    return RunDirectory.open(run_folder(job.folder))


def _measures(values: dict[str, Any]) -> tuple[Measure, ...]:
    facing, judge, export = values["facing"], values["judge"] or {}, values["export"] or {}
    is_facing = None if facing is None else facing["is_front_right"] and facing["is_back_right"]
    margin = values["margin"]
    return (
        Measure(name="shape score", value=values["shape_score"]),
        Measure(name="IoU", value=values["iou"]),
        Measure(name="margin", value=margin),
        Measure(name="margin positive", value=_percent(margin is not None and margin > 0.0), unit="%"),
        Measure(name="F-score at 2 %", value=values["surface"]["f_score_2"]),
        Measure(name="colour error", value=values["color"] and values["color"]["error"]),
        Measure(name="objects right", value=_percent(judge.get("objects_right")), unit="%"),
        Measure(name="colours right", value=_percent(judge.get("colors_right")), unit="%"),
        Measure(name="front and back right", value=_percent(is_facing), unit="%"),
        Measure(name="GLB against the field", value=export.get("psnr"), unit="dB"),
        Measure(name="time", value=values.get("seconds"), unit="s"),
    )


def _seen(values: dict[str, Any]) -> str:
    judge = values["judge"]
    return f"The judge sees: {judge['sees']}. " if judge else ""


def _percent(flag: bool | None) -> float | None:
    return None if flag is None else 100.0 * flag


def _start_blob(list_name: str) -> Callable[[Path], Outcome]:
    """The field before it has learnt anything, as every prompt of the list."""

    def measure(pictures: Path) -> Outcome:
        method = Method("start blob", (*DEFAULT, "trainer.max_steps=1"))
        glb = _kept(Job(method, "any", "a snowman", SEED)).model
        return _aggregate([score(glb, parse_scene(prompt)).values for prompt in prompts_of(list_name)])

    return measure


def _ellipsoids(list_name: str) -> Callable[[Path], Outcome]:
    """The ellipsoid that is most like the middle scene of each prompt."""

    def measure(pictures: Path) -> Outcome:
        folder = _kept_root() / "ellipsoids"
        folder.mkdir(parents=True, exist_ok=True)
        results = []
        for prompt in prompts_of(list_name):
            spec, path = parse_scene(prompt), folder / f"{prompt_slug(prompt)}.glb"
            cells = scene_cells(build(spec, [0.5] * spec.num_nuisances))
            write_glb(_ellipsoid_mesh(best_ellipsoid(cells), spec), path)
            results.append(score(path, spec).values)
        return _aggregate(results)

    return measure


def _ellipsoid_mesh(ellipsoid: Ellipsoid, spec: SceneSpec) -> Mesh:
    """An ellipsoid in the first colour of a scene."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    vertices = torch.from_numpy(ball.vertices).float() @ ellipsoid.inverse.inverse().T + ellipsoid.center
    color = torch.tensor(COLORS[spec.objects[0].color or FAMILIES[spec.objects[0].family].typical_color])
    mesh = Mesh(vertices, torch.from_numpy(ball.faces).long())
    return dataclasses.replace(
        mesh,
        normals=mesh.vertex_normals(),
        uvs=torch.full((len(vertices), 2), 0.5),
        texture=color.expand(4, 4, 3).contiguous(),
    )


def _shuffled(list_name: str) -> Callable[[Path], Outcome]:
    """Each object of the default method as the prompt before its own; the first as the last."""

    def measure(pictures: Path) -> Outcome:
        prompts = prompts_of(list_name)
        made = [_kept(Job(METHODS[0], list_name, prompt, SEED)).model for prompt in prompts]
        return _aggregate([score(glb, parse_scene(prompts[i - 1])).values for i, glb in enumerate(made)])

    return measure


def _samples(list_name: str) -> Callable[[Path], Outcome]:
    """What the judge makes of images that the network prior draws of each prompt, one from each of some cameras."""

    def measure(pictures: Path) -> Outcome:
        from framework.core.registries import PRIORS

        prior = load_prior(PRIORS.find("toybox").Config(), torch.device("cpu"))
        generator, results = named_generator(SEED, "bench.samples"), []
        for prompt in prompts_of(list_name):
            spec = parse_scene(prompt)
            images = samples_of(
                prior,
                [spec] * _SAMPLED_VIEWS,
                random_views(_SAMPLED_VIEWS, prior.sample_shape[-1], generator),
                guidance_scale=_SAMPLED_GUIDANCE,
                num_steps=_SAMPLED_STEPS,
                generator=generator,
            )
            opinion = load_judge().opinion(images)
            right = opinion.has_objects_of(spec)
            results.append((100.0 * right, 100.0 * (right and opinion.has_colors_of(spec))))
        return Outcome(
            measures=(
                _measure("objects right", estimate([item[0] for item in results], mean), unit="%"),
                _measure("colours right", estimate([item[1] for item in results], mean), unit="%"),
            ),
            note=f"{len(results)} prompts, {_SAMPLED_VIEWS} images of each.",
        )

    return measure


def _summarizing(method: Method, list_name: str) -> Callable[[Report], Outcome | None]:
    names = [job.name for job in jobs(method) if job.list_name == list_name]

    def summarize(report: Report) -> Outcome | None:
        rows = [report.rows[name] for name in names if name in report.rows]
        if not rows:
            return None
        columns: dict[str, list[float]] = {}
        for measure in (measure for row in rows for measure in row.measures):
            columns.setdefault(measure.name, []).extend([] if measure.value is None else [measure.value])
        units = {measure.name: measure.unit for row in rows for measure in row.measures}
        targets = dict(method.targets) if list_name == LISTS[0] else {}
        return _summary(columns, units, targets, note=f"Over {len(rows)} of {len(names)} runs. ")

    return summarize


def _aggregate(results: Sequence[dict[str, Any]]) -> Outcome:
    measures = [_measures(values) for values in results]
    columns = {m.name: [row[i].value for row in measures] for i, m in enumerate(measures[0])}
    present = {name: [value for value in values if value is not None] for name, values in columns.items()}
    return _summary(present, {m.name: m.unit for m in measures[0]}, {}, note=f"{len(results)} prompts. ")


def _summary(
    columns: dict[str, list[float]], units: dict[str, str], targets: dict[str, float], *, note: str
) -> Outcome:
    """Shares as means, everything else as interquartile means, with 95 % intervals in the note."""
    measures, intervals = [], []
    for name, values in columns.items():
        found = estimate(values, mean if units[name] == "%" else interquartile_mean)
        if found is None:
            continue
        measures.append(_measure(name, found, unit=units[name], at_least=targets.get(name)))
        intervals.append(f"{name} {found.low:.3g} to {found.high:.3g}")
    if not measures:
        raise BenchError("There is nothing to summarise.")
    return Outcome(measures=tuple(measures), note=f"{note}95 % intervals: {'; '.join(intervals)}.")


def _measure(name: str, found: Estimate | None, *, unit: str = "", at_least: float | None = None) -> Measure:
    return Measure(name=name, value=None if found is None else found.value, unit=unit, at_least=at_least)
