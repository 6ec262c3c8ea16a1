"""`--print-config`: every value with the place that set it."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.cli.main import main
from framework.core.config import load_config

BASE = """\
trainer: {max_steps: 5}
system:
  type: distillation
  streams:
    random: random-views
  optimizer: {type: adam, parameters: {scene.geometry: {learning_rate: 0.1}}}
"""
TEXT = """\
extends: base.yaml
name: a
prior: runs/x
system:
  guidance:
    type: score-distillation
    prompts: plain
    timesteps: {type: annealed, max_fraction: {type: linear, from: 0.9, to: 0.5}}
  losses:
    sparsity: {weight: 2}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "a.yaml").write_text(TEXT)
    return tmp_path / "a.yaml"


def printed(config: Path, capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    assert main(["--config", str(config), "--print-config", *settings]) == 0
    return capsys.readouterr().out.replace(f"{config.parent}/", "")


def test_every_value_is_tagged_with_its_origin(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(config, capsys, "seed=4", "system.optimizer.parameters.scene.geometry.learning_rate=0.2")
    for line in (
        'name: "a"  # a.yaml:2',
        'prompt: "a snowman"  # default',
        'prior:\n  type: "pretrained"  # a.yaml:3\n  model: "runs/x"  # a.yaml:3\n  revision: null  # default',
        "seed: 4  # command line",
        "  max_steps: 5  # base.yaml:1",
        "  log_every: 10  # default",
        '  type: "distillation"  # base.yaml:3',
        "      scene.geometry:\n        learning_rate: 0.2  # command line",
        '    random:\n      type: "random-views"  # base.yaml:5\n      height: 64  # default',
        '    main:\n      type: "score-distillation"  # a.yaml:6\n      stream: "random"  # default',
        '      prompts:\n        type: "plain"  # a.yaml:7',
        "          from: 0.9  # a.yaml:8",
        '    sparsity:\n      type: "sparsity"  # a.yaml:10\n      stream: "random"  # default\n      weight: 2.0  # a.yaml:10',
        '    geometry:\n      type: "density-field"  # default',
    ):
        assert f"\n{line}\n" in f"\n{text}", line


def test_what_is_printed_is_a_config_that_parses_into_the_same_run(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = 'prompt=a duck: "yellow" # really'
    again = config.parent / "again.yaml"
    again.write_text(printed(config, capsys, setting))
    assert load_config(again)[0] == load_config(config, [setting])[0]
