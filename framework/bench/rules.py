"""Every rule of distillation for real: on three prompts with a perfect model and with the network, and what VSD is for."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from framework.bench.processes import launch, run_folder
from framework.bench.results import generate, medians, run_and_score
from framework.bench.rows import BenchError, Measure, Report
from framework.bench.suite import SEED, Case, Outcome, Suite, Summary
from framework.core.run_directory import prompt_slug
from framework.core.step import named_generator
from framework.export.loading import load_glb
from framework.export.mesh_rendering import MeshRenderer
from framework.export.turntable import turntable_views
from framework.structures.mesh import Mesh
from framework.systems.images import sheet, write_png
from framework.toybox.evaluation.color_difference import lab, named_color
from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.voxels import intersection_over_union, voxelize

RULES = {
    "SDS": "dreamfusion",
    "SJC": "sjc",
    "VSD": "vsd",
    "CSD": "csd",
    "NFSD": "nfsd",
    "ISM": "ism",
    "SDI": "sdi",
    "HiFA": "hifa",
    "ASD": "asd",
}
"""Config of each rule, by its name in print."""
PROMPTS = ("a snowman", "a red cube", "a blue robot")
"""Development prompts of three kinds: round, angular, with a front."""
MOST_SECONDS = 360.0
ANY_COLOR = "a cube"
NUM_PARTICLES = 4
_POINTS = 2000
_SIZE = 96


@dataclass(frozen=True)
class Model:
    """A prior, and what it changes in the configs.

    Attributes:
        name: In the names of rows.
        settings: For every rule.
        of_rule: Beside them, by rule.
    """

    name: str
    settings: tuple[str, ...]
    of_rule: tuple[tuple[str, str], ...] = ()

    def launch(self, rule: str) -> tuple[str, ...]:
        """The command line of a rule, without the prompt."""
        more = (setting for name, setting in self.of_rule if name == rule)
        return ("--config", f"configs/{RULES[rule]}.yaml", *self.settings, *more)


MODELS = (
    # The oracle knows the prompt's own scene and needs no amplification of it.
    Model(
        "oracle",
        ("prior=oracle", "system.guidance.guidance_scale=1"),
        (("SDI", "system.guidance.perturbation.guidance_scale=-1"),),
    ),
    Model("network", ("prior=toybox",)),
)


def suite() -> Suite:
    """Each rule with each model on each prompt, its medians, and several objects of one prompt."""
    pairs = [(model, rule) for model in MODELS for rule in RULES]
    cases = [_case(model, rule, prompt) for model, rule in pairs for prompt in PROMPTS]
    cases += [
        Case(f"VSD, {NUM_PARTICLES} particles, {ANY_COLOR}", _particles),
        Case(f"SDS, {NUM_PARTICLES} seeds, {ANY_COLOR}", _seeds),
    ]
    return Suite(cases, [Summary(f"{rule}, {model.name}, median", _medians(model, rule)) for model, rule in pairs])


def _row_name(model: Model, rule: str, prompt: str) -> str:
    return f"{rule}, {model.name}, {prompt}"


def _case(model: Model, rule: str, prompt: str) -> Case:
    name = f"{RULES[rule]}-{model.name}-{prompt_slug(prompt)}.png"
    return Case(
        _row_name(model, rule, prompt),
        lambda pictures: run_and_score(model.launch(rule), prompt, pictures / name, at_most=MOST_SECONDS),
    )


def _medians(model: Model, rule: str) -> Callable[[Report], Outcome | None]:
    return lambda report: medians(report, [_row_name(model, rule, prompt) for prompt in PROMPTS])


def _particles(pictures: Path) -> Outcome:
    """All particles of one run of VSD, each with as many steps as a run of its own has."""
    with tempfile.TemporaryDirectory() as folder:
        settings = (f"system.n_particles={NUM_PARTICLES}", f"trainer.max_steps={1000 * NUM_PARTICLES}")
        finished = launch(
            *MODELS[1].launch("VSD"),
            *settings,
            f"prompt={ANY_COLOR}",
            f"output_root={folder}",
            "trainer.validate_every=0",
        )
        models = sorted(run_folder(Path(folder)).glob("**/mesh/model.glb"))
        meshes = [load_glb(path) for path in models]
    return _compared(meshes, finished.seconds, pictures / "vsd-particles.png")


def _seeds(pictures: Path) -> Outcome:
    """As many runs of SDS that differ in their seed alone."""
    meshes: list[Mesh] = []
    seconds = 0.0
    for seed in range(SEED, SEED + NUM_PARTICLES):
        with tempfile.TemporaryDirectory() as folder:
            mesh, taken = generate((*MODELS[1].launch("SDS"), f"seed={seed}"), ANY_COLOR, Path(folder))
        meshes, seconds = [*meshes, mesh], seconds + taken
    return _compared(meshes, seconds, pictures / "sds-seeds.png")


def _compared(meshes: Sequence[Mesh], seconds: float, picture: Path) -> Outcome:
    """How much several objects of one prompt differ, and how colourful they are."""
    solid = [mesh for mesh in meshes if len(mesh.faces) > 0]
    if len(solid) < 2:
        raise BenchError(f"{len(solid)} of {len(meshes)} runs left a mesh, too few to compare.")
    colors = [mean_color(mesh) for mesh in solid]
    names = [named_color((float(color[0]), float(color[1]), float(color[2]))) for color in colors]
    first_views = [MeshRenderer(mesh).render(turntable_views(mesh, frames=4, size=_SIZE)).rgb for mesh in solid]
    write_png(picture, sheet(torch.cat(first_views), columns=4))
    return Outcome(
        measures=(
            Measure(name="distinct colours", value=float(len(set(names)))),
            Measure(name="CIELAB chroma", value=statistics.mean(chroma(color) for color in colors)),
            Measure(name="difference of the solids", value=diversity(solid)),
            Measure(name="seconds for each", value=seconds / len(meshes), unit="s", at_most=MOST_SECONDS),
        ),
        note=f"{len(solid)} objects: {', '.join(names)}.",
        picture=f"{picture.parent.name}/{picture.name}",
    )


def mean_color(mesh: Mesh) -> Float[Tensor, "3"]:
    """Mean base colour over the surface, sRGB values in [0, 1]."""
    surface = MeshSurface(mesh)
    return surface.color(surface.sample(_POINTS, generator=named_generator(SEED, "bench.mean-color"))).mean(dim=0)


def chroma(color: Float[Tensor, "3"]) -> float:
    """Distance of a colour from gray in CIELAB."""
    return float(lab(color)[1:].norm())


def diversity(meshes: Sequence[Mesh]) -> float:
    """Mean of 1 - IoU over all pairs of solids; 0 where all are one."""
    solids = [voxelize(mesh) for mesh in meshes]
    return statistics.mean(1.0 - intersection_over_union(first, second) for first, second in combinations(solids, 2))
