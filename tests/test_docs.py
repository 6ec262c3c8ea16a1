"""What the documentation shows works."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from framework.cli.main import build_parser
from framework.core.config import dump
from framework.core.registries import COMBINATIONS, CONDITIONERS, GUIDANCES, PERTURBATIONS, TIMESTEPS, WEIGHTINGS
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
