"""Distillation: what is refused before it starts, what a step consists of, and a run with a known answer in 3D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.config import load_config
from framework.core.errors import ConfigError
from framework.core.registries import RENDERERS, SYSTEMS
from framework.core.step import StepInfo
from framework.diffusion.analytic import AnalyticPrior
from framework.renderers.volume import Volume
from framework.structures.field import Attribute, FieldQuery
from framework.structures.render_output import Buffer
from framework.systems.distillation import Distillation

ANALYTIC = Path(__file__).resolve().parents[2] / "configs" / "debug" / "analytic.yaml"
DEFAULT = ANALYTIC.parents[1] / "dreamfusion.yaml"
SMALL = """\
name: small
prior: {type: analytic, image_size: 16}
system:
  type: distillation
  scene:
    geometry: {type: voxel-grid, resolution: 8}
    occupancy: {resolution: 8}
  renderer: {type: volume, samples_per_ray: 16}
  streams:
    random: {type: random-views, height: 16, width: 16}
  guidance: {type: score-distillation, prompts: plain}
  losses:
    sparsity: {weight: 0.02}
    orientation: {weight: 0.01}
  optimizer: {type: adam, parameters: {scene.geometry: {learning_rate: 0.1}}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def built(config: Path, *settings: str) -> Distillation:
    run, _ = load_config(config, settings)
    system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
    assert isinstance(system, Distillation)
    return system


def problems(config: Path, *settings: str) -> list[str]:
    run, _ = load_config(config, settings)
    return [str(problem) for problem in Distillation.check(run.system, run)]


def train(system: Distillation, num_steps: int) -> StepInfo:
    """Train as the shell does; the step after the last."""
    settings = system.optimizer()
    optimizer = settings.build(system)
    for number in range(num_steps):
        step = StepInfo(number, num_steps, system.run.seed)
        system.before_step(step)
        total = system.training_step(step).total()
        optimizer.zero_grad()
        total.backward()
        settings.set_learning_rates(optimizer, step)
        optimizer.step()
    return StepInfo(num_steps, num_steps, system.run.seed, mode="test")


def scores(system: Distillation, step: StepInfo, *, size: int) -> tuple[float, float]:
    """PSNR (dB) on 8 views that were not trained on, and IoU with the true sphere."""
    prior = system.guidance["main"].prior
    assert isinstance(prior, AnalyticPrior)
    views = system.orbit(8, size=size)
    error = (system.render(views, step, set()).rgb - prior.truth(views)).square().mean()
    line = torch.linspace(-0.97, 0.97, 32)
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1).reshape(-1, 3)
    with torch.no_grad():
        density = system.scene.geometry.query(FieldQuery(points, step, frozenset({Attribute.DENSITY}))).density
    assert density is not None
    ours, theirs = density > 3.0, prior.inside(points)
    return float(-10 * error.log10()), float((ours & theirs).sum() / (ours | theirs).sum())


def test_score_distillation_on_the_analytic_prior_ends_at_the_known_sphere() -> None:
    system = built(
        ANALYTIC,
        "prior={type: analytic, image_size: 16}",
        "system.streams.random={height: 16, width: 16}",
        "system.renderer.samples_per_ray=32",
        "system.scene.occupancy={resolution: 16, every: 8}",
        "system.scene.geometry.resolution=16",
        "system.streams.random.batch_size=4",
        "system.optimizer.parameters.scene.geometry.learning_rate={type: exponential, from: 0.2, to: 0.02}",
    )
    psnr, iou = scores(system, StepInfo(0, 1, mode="test"), size=16)
    assert psnr < 18 and iou < 0.3
    psnr, iou = scores(system, train(system, 150), size=16)
    assert psnr > 28 and iou > 0.65


@pytest.mark.slow
def test_the_shipped_analytic_config_reaches_what_it_promises() -> None:
    system = built(ANALYTIC)
    psnr, iou = scores(system, train(system, system.run.trainer.max_steps), size=64)
    assert psnr >= 30 and iou >= 0.85


def test_a_step_adds_every_term_with_its_weight_of_that_step(small: Path) -> None:
    system = built(small, "system.guidance.weight={type: linear, from: 0, to: 4, between: [0, 4]}")
    logs = system.training_step(StepInfo(1, 10)).logs()
    assert logs["weight/guidance.main"] == 1.0 and logs["weight/losses.sparsity"] == 0.02
    weighted = [logs[f"weight/{name}"] * float(logs[f"loss/{name}"]) for name in _terms(logs)]
    assert float(logs["loss/total"]) == pytest.approx(sum(weighted))


def _terms(logs: Mapping[str, Any]) -> list[str]:
    return [name.removeprefix("weight/") for name in logs if name.startswith("weight/")]


def test_a_loss_that_a_renderer_cannot_serve_is_refused_with_the_way_out(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = frozenset(Buffer) - {Buffer.SAMPLES}
    monkeypatch.setattr(Volume, "provides", without)
    message = "system.losses.orientation: needs 'ray samples', which renderer 'volume' does not provide."
    assert problems(small) == [f"{message} Remove this term."]

    class Other(Volume):
        """Provides what the volume renderer here does not."""

        provides = frozenset(Buffer)

        @dataclass(kw_only=True, frozen=True)
        class Config(Volume.Config):
            pass

    monkeypatch.setattr(RENDERERS, "_targets", dict(RENDERERS._targets))
    monkeypatch.setattr(RENDERERS, "_classes", dict(RENDERERS._classes))
    RENDERERS.register("other")(Other)
    assert problems(small) == [f"{message} Use renderer 'other', or remove this term."]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], []),
        (
            ["system.losses.sparsity.stream=radnom"],
            ["system.losses.sparsity.stream: no stream is called 'radnom'. Did you mean 'random'?"],
        ),
        (
            ["system.streams.other=orbit-views"],
            ["system.streams.other: is used by no guidance and no loss; remove it, or name it in one of them."],
        ),
        (
            ["system.streams.random.every=2"],
            ["system.streams: no stream has every: 1, so that nothing is trained in some steps."],
        ),
        (["system.losses.sparsity=null", "system.losses.orientation=null"], []),
        (
            ["system.losses.laplacian={}"],
            ["system.losses.laplacian: needs 'mesh', which renderer 'volume' does not provide. Remove this term."],
        ),
        (
            ["system.losses.eikonal={}"],
            [
                "system.losses.eikonal: asks for 'gradient', which geometry 'voxel-grid' does not answer. "
                "Use geometry 'signed-distance-field', or remove this term."
            ],
        ),
        (["system.losses.eikonal={}", "system.scene.geometry={type: signed-distance-field}"], []),
        (
            ["system.renderer={type: patch}"],
            [
                "system.losses.orientation: needs 'ray samples', which renderer 'patch' does not provide. "
                "Use renderer 'volume', or remove this term."
            ],
        ),
        (
            ["system.renderer={type: strided, base: rasterizer}", "system.losses.orientation=null"],
            [
                "system.renderer: 'strided' cannot draw geometry 'voxel-grid'. Use renderer 'patch' or 'strided' or "
                "'volume', or geometry 'flexicubes' or 'tetrahedral-grid' or 'triangle-mesh'."
            ],
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_found_before_anything_is_built(
    small: Path, settings: list[str], expected: list[str]
) -> None:
    assert problems(small, *settings) == expected


def test_a_run_without_terms_or_streams_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nsystem: {type: distillation, optimizer: {type: adam, parameters: {}}}\n")
    assert problems(path) == [
        "system.streams: is empty; name at least one stream of views.",
        "system: has neither guidance nor losses, so there is nothing to train.",
    ]


def test_a_stream_is_rendered_in_the_steps_that_it_is_due(small: Path) -> None:
    system = built(
        small,
        "system.streams.rare={type: orbit-views, height: 8, width: 8, every: 3}",
        "system.losses.rarely={type: sparsity, stream: rare}",
    )
    seen = ["loss/losses.rarely" in system.training_step(StepInfo(step, 10)).logs() for step in range(4)]
    assert seen == [True, False, False, True]


def test_proposals_are_trained_beside_the_scene_and_need_a_learning_rate(small: Path) -> None:
    sampler = "system.renderer.sampler={type: proposal, rounds: [16]}"
    with pytest.raises(ConfigError, match=r"'scene.proposals.0.*' would not be trained"):
        built(small, sampler).optimizer().build(built(small, sampler))
    system = built(small, sampler, "system.optimizer.parameters={scene: {learning_rate: 0.01}}")
    before = {name: value.clone() for name, value in system.state_dict().items() if ".proposals." in name}
    logs = system.training_step(StepInfo(0, 10)).logs()
    assert logs["weight/sampler.random"] == 1.0 and float(logs["loss/sampler.random"]) > 0.0
    train(system, 2)
    assert before and all(not torch.equal(system.state_dict()[name], value) for name, value in before.items())


def test_only_what_the_terms_of_a_stream_need_is_asked_of_the_renderer(small: Path) -> None:
    assert {Buffer.NORMAL, Buffer.SAMPLES} <= built(small).needs["random"]
    without = built(small, "system.losses.orientation=null")
    assert without.needs["random"] == {Buffer.RGB, Buffer.OPACITY}


def test_the_prior_is_no_part_of_what_is_trained_or_saved(small: Path) -> None:
    system = built(small)
    assert {name.split(".")[0] for name in system.state_dict()} == {"scenes"}
    assert {name.split(".")[0] for name, _ in system.named_parameters()} == {"scenes"}


def test_words_that_the_prior_has_never_seen_are_named_in_a_warning(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built(small, "prompt=a red dinosaur")
    assert caplog.messages == []
    monkeypatch.setattr(AnalyticPrior, "unknown_words", lambda self, prompt: prompt.split()[2:])
    built(small, "prompt=a red dinosaur")
    (message,) = caplog.messages
    assert "dinosaur" in message and "red" not in message
    assert caplog.records[0].levelname == "WARNING"


def test_validation_looks_from_all_sides_the_first_from_the_front(small: Path) -> None:
    system = built(small, "system.validation={views: 4, size: 8, elevation_deg: 0}")
    positions = system.orbit(4, size=8).cameras.positions
    distance = system.config.validation.distance
    expected = distance * torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    torch.testing.assert_close(positions, expected, atol=1e-5, rtol=0)
    picture = system.images(StepInfo(0, 10, mode="validate"))["views"]
    assert picture.shape == (3 * 10, 4 * 10, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("prior=sdxl",), "system.guidance.main.prompts: 'camera' tells the prior where the camera is"),
        (("prior=toybox", "system.guidance.buffer=latent"), "system.guidance.main.buffer: 'latent' asks for"),
        (("prior=oracle", "system.guidance={type: variational, stream: random}"), "particle_prior: an adapter needs"),
        (
            ("prior=flux.1-dev", "system.guidance={type: variational, stream: random}"),
            "particle_prior: an adapter needs",
        ),
    ],
)
def test_a_guidance_that_the_prior_cannot_answer_is_refused_before_weights_are_read(
    settings: tuple[str, ...], message: str
) -> None:
    assert [message in problem for problem in problems(DEFAULT, *settings)].count(True) == 1


@pytest.mark.parametrize("prior", ["toybox", "oracle", "somebody/something"])
def test_pairs_that_fit_or_are_not_known_yet_pass(prior: str) -> None:
    assert problems(DEFAULT, f"prior={prior}") == []


def test_paths_that_lead_nowhere_are_refused_before_weights_are_read(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("framework.systems.guidances.load_prior", lambda *arguments: pytest.fail("weights are read"))
    assert launch.small("system.optimizer.parameters={scene.geometri: {learning_rate: 1}}") == 2
    assert "scene.geometri: matches no trainable parameter. Did you mean 'scene.geometry'?" in capsys.readouterr().err
    assert launch.small("freeze=[scene.nowhere]") == 2
    assert launch.runs() == []
