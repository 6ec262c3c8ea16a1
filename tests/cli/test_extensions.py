"""`custom/`: what is loaded, what is skipped, and what stops the run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from framework.cli import extensions, main
from framework.cli.extensions import ExtensionError, found, load
from framework.cli.inspect import describe
from framework.core.config import load_config
from framework.core.errors import ConfigError
from framework.core.registries import ALL, BACKGROUNDS
from framework.core.step import StepInfo, named_generator


@pytest.fixture
def custom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty custom/ folder; what extensions register in a test is forgotten after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "custom"
    folder.mkdir()
    yield folder
    for registry in ALL.values():
        for name in [name for name, target in registry._targets.items() if target.startswith("custom.")]:
            del registry._targets[name], registry._classes[name]
    for name in [name for name in sys.modules if name.split(".")[0] == "custom"]:
        del sys.modules[name]


def extension(custom: Path, name: str, text: str = "") -> Path:
    path = custom / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_files_and_packages_are_extensions_and_nothing_else_is(custom: Path) -> None:
    for name in ("b.py", "a-b/__init__.py", "notes.md", "_private.py", ".hidden.py", "folder/part.py"):
        extension(custom, name)
    assert found(custom) == ["a-b", "b"]
    assert found(custom / "nowhere") == []


def test_all_are_loaded_unless_the_config_names_some(custom: Path) -> None:
    for name in ("a.py", "b.py", "c/__init__.py"):
        extension(custom, name, "value = __name__")
    assert load(custom, only=None) == ["a", "b", "c"]
    assert {"custom.a", "custom.b", "custom.c"} <= set(sys.modules)
    assert load(custom, only=["b"]) == ["b"]
    assert load(custom, only=[]) == []
    assert load(custom, only=None, without=["a", "c"]) == ["b"]


def test_an_extension_may_have_parts(custom: Path) -> None:
    extension(custom, "whole/__init__.py", "from custom.whole.part import value\nfrom . import part\n")
    extension(custom, "whole/part.py", "value = 7")
    load(custom, only=None)
    assert sys.modules["custom.whole"].value == 7


def test_a_disabled_one_is_skipped_with_a_notice(custom: Path, caplog: pytest.LogCaptureFixture) -> None:
    extension(custom, "off_disabled.py", "raise RuntimeError")
    extension(custom, "on.py")
    with caplog.at_level(logging.INFO, logger="framework"):
        assert load(custom, only=None) == ["on"]
    assert caplog.messages == ["custom/off_disabled is skipped: its name says that it is disabled."]


@pytest.mark.parametrize(("argument", "names"), [("only", ["gaussains"]), ("without", ["gaussains"])])
def test_a_name_that_does_not_exist_is_refused_with_the_closest(custom: Path, argument: str, names: list[str]) -> None:
    extension(custom, "gaussians.py")
    with pytest.raises(ConfigError) as caught:
        load(custom, **{"only": None, argument: names})
    assert str(caught.value) == "extensions: custom/ holds no 'gaussains'. Did you mean 'gaussians'?"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = (", "SyntaxError: '(' was never closed (broken.py, line 1)"),
        ("raise ValueError('out of tune.')", "ValueError: out of tune"),
        (
            "from framework.core.registries import LOSSES\nfrom framework.losses.opacity import Sparsity\n"
            "LOSSES.register('binarization')(Sparsity)",
            "loss/binarization is defined twice: by framework.losses.opacity:Binarization and by "
            "framework.losses.opacity:Sparsity",
        ),
    ],
)
def test_a_failing_import_stops_the_run_with_its_cause_and_the_way_round_it(
    custom: Path, text: str, cause: str
) -> None:
    extension(custom, "broken.py", text)
    extension(custom, "fine.py")
    with pytest.raises(ExtensionError) as caught:
        load(custom, only=None)
    assert str(caught.value) == (
        f"custom/broken could not be loaded: {cause}. Fix it (--verbose shows where), or start with --without broken."
    )
    assert caught.value.__cause__ is not None
    assert load(custom, only=None, without=["broken"]) == ["fine"]


def test_the_command_line_stops_at_a_failing_extension(
    custom: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "ROOT", custom.parent)
    extension(custom, "broken.py", "raise ValueError('out of tune')")
    config = Path(extensions.__file__).parents[2] / "configs" / "dreamfusion.yaml"
    assert main.main(["--config", str(config), "--print-config"]) == 2
    assert "custom/broken could not be loaded: ValueError: out of tune." in capsys.readouterr().err
    assert main.main(["--config", str(config), "--print-config", "--without", "broken"]) == 0
    assert main.main(["--config", str(config), "--print-config", "extensions=[]"]) == 0


def readme_example() -> str:
    """The Python example of custom/README.md."""
    readme = (Path(extensions.__file__).parents[2] / "custom" / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition("```python\n")
    example, _, _ = rest.partition("```")
    return example


def test_the_readme_shows_an_example_of_about_thirty_lines() -> None:
    assert 20 <= len(readme_example().strip().splitlines()) <= 35


def test_the_readme_example_is_loaded_configured_and_drawn(custom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extension(custom, "sunset.py", readme_example())
    load(custom, only=["sunset"])
    assert describe("background/sunset") == 0
    assert "horizon: [number, number, number]; default" in capsys.readouterr().out

    config = custom.parent / "a.yaml"
    config.write_text(
        "name: a\nsystem:\n  type: distillation\n  scene: {background: {type: sunset, horizon: [1, 0.5, 0]}}\n"
        "  optimizer: {type: adam, parameters: {}}\n"
    )
    run, _ = load_config(config)
    background = BACKGROUNDS.build(run.system.scene.background, generator=named_generator(0, "background"))
    directions = torch.tensor([[[1.0, 0, 0], [0, 0, 1], [0, 0, -1]]])
    zenith = run.system.scene.background.zenith
    expected = torch.tensor([[[1.0, 0.5, 0.0], zenith, zenith]])
    torch.testing.assert_close(background.color(directions, StepInfo(0, 1)), expected)
