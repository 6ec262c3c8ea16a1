"""What the documentation shows works."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from framework.cli import extensions
from framework.cli import main as command_line
from framework.cli.main import build_parser
from framework.core import registries
from framework.core.config import dump
from framework.core.registries import (
    ALL,
    COMBINATIONS,
    CONDITIONERS,
    GUIDANCES,
    LOSSES,
    PERTURBATIONS,
    TIMESTEPS,
    WEIGHTINGS,
)
from framework.core.stages import load_stages

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.S)


def examples(page: str) -> list[str]:
    """The Python blocks of a page."""
    return blocks(page, "python")


def test_the_loop_of_the_rules_page_moves_images_towards_the_prompt() -> None:
    (loop,) = examples("rules.md")
    names: dict[str, Any] = {}
    exec(compile(loop, "rules.md", "exec"), names)
    images = names["images"].detach()
    assert images.std() > 0.1 and bool(images.isfinite().all())
    middle, border = images[:, 24:40, 24:40].mean(dim=(0, 1, 2)), images[:, :4].mean(dim=(0, 1, 2))
    assert middle[0] - middle[1:].max() > 0.1, middle  # Red in the middle
    assert (middle - border).norm() > 0.1, (middle, border)  # and something else around it.


def test_the_rules_page_names_all_there_is() -> None:
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    for registry in (GUIDANCES, CONDITIONERS, TIMESTEPS, PERTURBATIONS, COMBINATIONS, WEIGHTINGS):
        assert [name for name in registry.names() if f"`{name}`" not in text] == []
    configs = set(re.findall(r"`([a-z-]+\.yaml)`", text))
    assert configs and all((ROOT / "configs" / name).is_file() for name in configs)


def test_the_example_of_a_new_rule_trains_in_a_run(
    launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = examples("adding-a-rule.md")
    assert len(example.splitlines()) < 40
    monkeypatch.setattr(GUIDANCES, "_targets", dict(GUIDANCES._targets))
    monkeypatch.setattr(GUIDANCES, "_classes", dict(GUIDANCES._classes))
    (tmp_path / "growing_guidance.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("growing_guidance")
    settings = ("system.guidance.type=growing-guidance", "system.guidance.power=2")
    assert launch.small(*settings) == 0
    (run,) = launch.runs()
    assert run.state()["state"] == "finished"


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers as a loss or imports of `custom` is forgotten after it."""
    monkeypatch.setattr(LOSSES, "_targets", dict(LOSSES._targets))
    monkeypatch.setattr(LOSSES, "_classes", dict(LOSSES._classes))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("custom", "distill3d_calm")]:
        del sys.modules[name]


def calm(folder: Path, module: str) -> None:
    """The extension of several files of the page about extending, as `module` in `folder`."""
    head, loss = examples("extending.md")
    (folder / module).mkdir(parents=True)
    text = head if module == "calm" else head.replace("custom.calm", module)
    (folder / module / "__init__.py").write_text(text, encoding="utf-8")
    (folder / module / "loss.py").write_text(loss, encoding="utf-8")


def test_the_folder_of_the_page_about_extending_trains_in_a_run(
    launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: None, small_settings: tuple[str, ...]
) -> None:
    calm(tmp_path / "custom", "calm")
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    (tmp_path / "a.yaml").write_text(
        f"extends: {ROOT}/configs/dreamfusion.yaml\n" + "".join(blocks("extending.md", "yaml")), encoding="utf-8"
    )
    assert launch(tmp_path / "a.yaml", *small_settings, "trainer.max_steps=2") == 0
    (run,) = launch.runs()
    assert "loss/losses.opacity-edges" in run.metrics.read_text().splitlines()[0]
    config = yaml.safe_load(run.config.read_text())
    assert config["extensions"] == ["calm"] and config["system"]["losses"]["opacity-edges"]["power"] == 2


def test_the_package_of_the_page_about_extending_is_an_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: None
) -> None:
    (project,) = blocks("extending.md", "toml")
    calm(tmp_path, "distill3d_calm")
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    build = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert [item.place for item in extensions.found(tmp_path / "custom")] == ["the package 'distill3d-calm'"]
    assert extensions.load(tmp_path / "custom", only=None, without=["calm"]) == []
    assert extensions.load(tmp_path / "custom", only=None) == ["calm"]
    assert LOSSES.target("opacity-edges") == "distill3d_calm.loss:OpacityEdges"


def test_the_template_passes_the_contract_tests_and_nothing_else_is_run() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "tests/contracts"]
    finished = subprocess.run(
        [*command, "--registered", "custom._template"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|deselected)", finished.stdout)}
    assert finished.returncode == 0 and counts["passed"] > 10 and counts["deselected"] > 500, finished.stdout


def test_the_page_about_extending_names_the_base_of_every_kind() -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| ([a-z-]+) \| `[A-Z_]+` \| `([\w.]+)` \|$", text, flags=re.M))
    assert shown == {kind: registry.base.replace(":", ".") for kind, registry in ALL.items()}
    for kind, name in re.findall(r"^\| ([a-z-]+) \| `([A-Z_]+)`", text, flags=re.M):
        assert getattr(registries, name) is ALL[kind]


def test_the_sweep_of_the_dashboards_page_is_a_command_line_that_parses() -> None:
    from wandb.sdk.launch.sweeps import utils

    (text,) = [block for block in blocks("dashboards.md", "yaml") if "program:" in block]
    sweep = yaml.safe_load(text)
    for end in (0, -1):
        chosen = {
            key: {"value": entry["values"][end] if "values" in entry else 1e-4}
            for key, entry in sweep["parameters"].items()
        }
        words = {**utils.create_sweep_command_args({"args": chosen}), "program": [sweep["program"]]}
        command = [
            part
            for word in utils.create_sweep_command(list(sweep["command"]))
            for part in (words.get(word[2:-1], []) if word.startswith("${") else [word])
        ]
        assert command[0] == "launch.py"
        options = build_parser().parse_intermixed_args(command[1:])
        config = dump(load_stages(ROOT / options.config, options.settings)[""])
        assert (
            config["prompt"] == chosen["prompt"]["value"] and config["logger"]["wandb"]["project"] == sweep["project"]
        )
        system = config["system"]
        assert system["scene"]["geometry"]["type"] == chosen["system.scene.geometry"]["value"]
        assert system["guidance"]["main"]["guidance_scale"] == chosen["system.guidance.guidance_scale"]["value"]
        assert system["losses"]["sparsity"]["weight"] == 1e-4
        (rate,) = [value for key, value in chosen.items() if key.endswith("learning_rate")]
        assert system["optimizer"]["parameters"]["scene.geometry"]["learning_rate"] == rate["value"]


def test_the_logger_section_of_the_dashboards_page_is_one() -> None:
    (text,) = [block for block in blocks("dashboards.md", "yaml") if "logger:" in block]
    section = yaml.safe_load(text)["logger"]
    shown = f"logger={yaml.safe_dump(section, default_flow_style=True, width=1000).strip()}"
    config = dump(load_stages(ROOT / "configs/dreamfusion.yaml", [shown])[""])
    assert config["logger"] == section and list(section) == list(config["logger"])
