"""Every file in configs/ parses and fits together; those in configs/debug/ run from end to end."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from framework.bench.small import small_settings
from framework.cli import stages
from framework.core.registries import CONDITIONERS, PRIORS
from framework.core.run_config import RunConfig
from framework.core.stages import load_stages
from framework.core.yaml_tree import load_tree
from framework.diffusion.families.names import traits_of_name
from framework.export.turntable import write_turntable
from framework.toybox.captions import VOCABULARY

ROOT = Path(__file__).resolve().parents[1]
PARTS = ROOT / "configs" / "parts"
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if not path.is_relative_to(PARTS))
DEBUG = sorted((ROOT / "configs" / "debug").glob("*.yaml"))

# Sizes only: what a config is made of stays as it is.
EXPORT = "export={resolution: 24, max_faces: 200, texture_size: 64, padding: 2}"


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT / "configs"))


def first(path: Path) -> RunConfig:
    """The config of the first stage, or of the only training."""
    return next(iter(load_stages(path).values()))


@pytest.mark.parametrize("path", CONFIGS, ids=identify)
def test_a_config_parses_and_its_parts_fit(path: Path) -> None:
    stages.check(load_stages(path))
    assert first(path).description.endswith(".")
    assert {"name", "prompt"} <= load_tree(path).data.keys()


VARIANTS = [(path, name) for path in CONFIGS for name in load_tree(path).data.get("variants") or {}]


@pytest.mark.parametrize(("path", "name"), VARIANTS, ids=lambda item: item if isinstance(item, str) else identify(item))
def test_a_variant_of_a_config_parses_and_its_parts_fit(path: Path, name: str) -> None:
    runs = load_stages(path, [f"variant={name}"])
    stages.check(runs)
    for run in runs.values() if name == "paper" else ():
        assert PRIORS.name_of(run.prior) == "pretrained" and traits_of_name(run.prior.model) is not None


def test_names_of_runs_do_not_collide() -> None:
    names = [first(path).name for path in CONFIGS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", DEBUG, ids=identify)
def test_a_debug_config_trains_and_exports(path: Path, launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    short = functools.partial(write_turntable, frames=2, size=32, is_quiet=True)
    monkeypatch.setattr("framework.systems.distillation.write_turntable", short)
    assert launch(path, *small_settings(path, max_steps=20), EXPORT) == 0
    check_finished(launch)


def check_finished(launch: Any) -> None:
    (run,) = launch.runs()
    assert run.state()["state"] == "finished"
    for stage in run.stages() or [run]:
        assert stage.checkpoint(20).is_file() and stage.model.is_file() and stage.turntable.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["magic3d", "fantasia3d", "prolificdreamer"])
def test_a_config_of_several_stages_trains_and_exports(name: str, launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    short = functools.partial(write_turntable, frames=2, size=32, is_quiet=True)
    monkeypatch.setattr("framework.systems.distillation.write_turntable", short)
    path = ROOT / "configs" / f"{name}.yaml"
    size = "system.streams.random={height: 32, width: 32}"
    assert launch(path, *small_settings(path, max_steps=20), EXPORT, "prior={type: oracle, views: 16}", size) == 0
    check_finished(launch)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "toybox" / "prompts").glob("*.txt")), ids=lambda p: p.stem)
def test_prompt_files_use_words_that_the_toybox_knows(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    prompts = [line for line in lines if line and not line.startswith("#")]
    assert prompts and len(set(prompts)) == len(prompts)
    assert {word for prompt in prompts for word in prompt.replace(",", "").split()} <= set(VOCABULARY)


def test_every_rule_of_the_bundled_prior_tells_it_the_camera() -> None:
    """Another `type` leaves nothing of what the extended file says of the guidance, so each says it anew."""
    told = {"view-interpolated", "camera"}
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        for run in load_stages(path).values():
            for item in run.system.guidance.values():
                assert CONDITIONERS.name_of(item.prompts) in told, path.name
                assert item.guidance_scale.bounds()[1] <= 7.5, path.name
