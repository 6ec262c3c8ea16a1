"""What the documentation shows works."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from framework.core.registries import COMBINATIONS, CONDITIONERS, GUIDANCES, PERTURBATIONS, TIMESTEPS, WEIGHTINGS

ROOT = Path(__file__).resolve().parents[1]


def examples(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.S)


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
