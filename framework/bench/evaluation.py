"""The default method on prompts that nothing was tuned on, beside what tells how good that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import trimesh

from framework.bench.processes import ROOT
from framework.bench.results import SCORE, values_of
from framework.bench.rows import Measure, Report
from framework.bench.scored_runs import Job, estimated, kept, kept_root, measures, summary, summary_of
from framework.bench.statistics import estimate, interquartile_mean, mean
from framework.bench.suite import SEED, Case, Outcome, Suite, Summary
from framework.core.run_directory import prompt_slug
from framework.core.step import named_generator
from framework.diffusion.prior import load_prior
from framework.export.gltf import write_glb
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
TARGETS_OF_EVERYTHING = (("front and back right", 75.0), ("GLB against the field", 22.0))
"""What is aimed at over all runs of the default: few prompts of one list name something with a front."""
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


RECONSTRUCTION = "reconstruction from true views"
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
    Method(RECONSTRUCTION, ("--config", "configs/debug/reconstruction.yaml")),
)


def suite() -> Suite:
    """All runs, the cases without a run, and what is said of each method on each list."""
    cases = [job.case() for method in METHODS for job in jobs(method)]
    cases += [Case(f"start blob, {name}", _start_blob(name)) for name in LISTS]
    cases += [Case(f"best ellipsoid, {name}", _ellipsoids(name)) for name in LISTS]
    cases += [Case(f"default, names shuffled, {name}", _shuffled(name)) for name in LISTS]
    cases += [Case(f"samples of the prior, {name}", _samples(name)) for name in LISTS]
    summaries = [_summary(method, name) for method in METHODS for name in method.lists]
    everything = [job.name for job in jobs(METHODS[0])]
    summaries.append(Summary("default, everything", summary_of(everything, dict(TARGETS_OF_EVERYTHING))))
    summaries += [Summary(f"where shape is lost, {name}", _losses(name)) for name in LISTS]
    return Suite(cases, summaries)


def jobs(method: Method) -> list[Job]:
    """The runs of a method, list by list."""
    first = [
        Job(method.name, method.launch, name, prompt, SEED) for name in method.lists for prompt in prompts_of(name)
    ]
    if not method.has_more_seeds:
        return first
    spread = [job for index, job in enumerate(first) if index % (len(first) // PROMPTS_WITH_MORE_SEEDS) == 0]
    return first + [dataclasses.replace(job, seed=seed) for seed in MORE_SEEDS for job in spread]


def prompts_of(list_name: str) -> list[str]:
    """The prompts of a list that are run: evenly spread over it."""
    prompts = (PROMPTS / f"{list_name}.txt").read_text(encoding="ascii").split("\n")[:-1]
    return [prompts[index * len(prompts) // PROMPTS_OF_A_LIST] for index in range(PROMPTS_OF_A_LIST)]


def _summary(method: Method, list_name: str) -> Summary:
    names = [job.name for job in jobs(method) if job.group == list_name]
    targets = dict(method.targets) if list_name == LISTS[0] else {}
    return Summary(f"{method.name}, {list_name}, all", summary_of(names, targets))


def _losses(list_name: str) -> Callable[[Report], Outcome | None]:
    """How much of the shape score each part of the way costs, over the prompts on which all have been run.

    True views fitted by the same field leave what the field and its export cost; a perfect prior, what the rule does.
    """
    prompts = prompts_of(list_name)
    by_name = {method.name: method for method in METHODS}

    def losses(report: Report) -> Outcome | None:
        scores = {
            name: {
                job.prompt: value
                for job in jobs(by_name[name])
                if job.group == list_name and job.seed == SEED and job.name in report.rows
                for value in values_of([report.rows[job.name]], SCORE)
            }
            for name in (RECONSTRUCTION, "oracle", "default")
        }
        shared = [prompt for prompt in prompts if all(prompt in found for found in scores.values())]
        if not shared:
            return None
        true_views, perfect, default = (
            interquartile_mean([found[prompt] for prompt in shared]) for found in scores.values()
        )
        return Outcome(
            measures=(
                Measure(name="by the field and its export", value=1.0 - true_views),
                Measure(name="by the rule", value=true_views - perfect),
                Measure(name="by the prior", value=perfect - default),
                Measure(name="left", value=default),
            ),
            note=f"Interquartile means over {len(shared)} prompts: 1 minus the score of a reconstruction from true views, "
            "that minus the score of the oracle prior, and that minus the score of the default.",
        )

    return losses


def _start_blob(list_name: str) -> Callable[[Path], Outcome]:
    """The field before it has learnt anything, as every prompt of the list."""

    def measure(pictures: Path) -> Outcome:
        glb = kept(Job("start blob", (*DEFAULT, "trainer.max_steps=1"), "any", "a snowman")).model
        return _aggregate([score(glb, parse_scene(prompt)).values for prompt in prompts_of(list_name)])

    return measure


def _ellipsoids(list_name: str) -> Callable[[Path], Outcome]:
    """The ellipsoid that is most like the middle scene of each prompt."""

    def measure(pictures: Path) -> Outcome:
        folder = kept_root() / "ellipsoids"
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
    to_ellipsoid = ellipsoid.inverse.inverse()
    vertices = torch.from_numpy(ball.vertices).float() @ to_ellipsoid.T + ellipsoid.center
    faces = torch.from_numpy(ball.faces).long()
    if to_ellipsoid.det() < 0.0:  # A mirrored ball would be inside out.
        faces = faces.flip(1)
    color = torch.tensor(COLORS[spec.objects[0].color or FAMILIES[spec.objects[0].family].typical_color])
    mesh = Mesh(vertices, faces)
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
        made = [kept(job).model for job in jobs(METHODS[0]) if job.group == list_name and job.seed == SEED]
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
                estimated("objects right", estimate([item[0] for item in results], mean), unit="%"),
                estimated("colours right", estimate([item[1] for item in results], mean), unit="%"),
            ),
            note=f"{len(results)} prompts, {_SAMPLED_VIEWS} images of each.",
        )

    return measure


def _aggregate(results: Sequence[dict[str, Any]]) -> Outcome:
    return summary([measures(values) for values in results], {}, note=f"{len(results)} prompts. ")
