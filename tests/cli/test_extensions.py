"""`custom/`: what is loaded, what is skipped, and what stops the run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from framework.cli import extensions, main
from framework.cli.extensions import GROUP, ExtensionError, found, load, named_in
from framework.cli.inspect import describe
from framework.core.config import load_config
from framework.core.errors import ConfigError
from framework.core.registries import ALL, BACKGROUNDS
from framework.core.step import StepInfo, named_generator
from framework.core.yaml_tree import load_tree

PACKAGED = ("dusk", "dawn")
"""Modules of the packages of these tests."""


def package(custom: Path, name: str, text: str = "", *, module: str, distribution: str) -> None:
    """Install a package with an extension, as far as Python sees."""
    site = custom.parent / "site"
    folder = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {module}\n")
    (site / f"{module}.py").write_text(text)
    if str(site) not in sys.path:
        sys.path.insert(0, str(site))


@pytest.fixture
def custom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty custom/ folder; what extensions register in a test is forgotten after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "custom"
    folder.mkdir()
    yield folder
    for registry in ALL.values():
        for name, target in list(registry._targets.items()):
            if target.partition(":")[0].partition(".")[0] in ("custom", *PACKAGED):
                del registry._targets[name], registry._classes[name]
    for name in [name for name in sys.modules if name.split(".")[0] in ("custom", *PACKAGED)]:
        del sys.modules[name]


def extension(custom: Path, name: str, text: str = "") -> Path:
    path = custom / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_files_and_packages_are_extensions_and_nothing_else_is(custom: Path) -> None:
    for name in ("b.py", "a-b/__init__.py", "notes.md", "_private.py", ".hidden.py", "folder/part.py"):
        extension(custom, name)
    assert [(item.name, item.module, item.place) for item in found(custom)] == [
        ("a-b", "custom.a-b", "custom/a-b"),
        ("b", "custom.b", "custom/b.py"),
    ]
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
    assert caplog.messages == ["custom/off_disabled.py is skipped: its name says that it is disabled."]


@pytest.mark.parametrize(("argument", "where"), [("only", "extensions"), ("without", "--without")])
def test_a_name_that_does_not_exist_is_refused_with_the_closest(custom: Path, argument: str, where: str) -> None:
    extension(custom, "gaussians.py")
    with pytest.raises(ConfigError) as caught:
        load(custom, **{"only": None, argument: ["gaussains"]})
    assert str(caught.value) == (
        f"{where}: neither custom/ nor an installed package has an extension 'gaussains'. Did you mean 'gaussians'?"
    )


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
        f"custom/broken.py could not be loaded: {cause}. Fix it (--verbose shows where), or start with --without broken."
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
    assert "custom/broken.py could not be loaded: ValueError: out of tune." in capsys.readouterr().err
    assert main.main(["--config", str(config), "--print-config", "--without", "broken"]) == 0
    assert main.main(["--config", str(config), "--print-config", "extensions=[]"]) == 0


def test_installed_packages_are_extensions_by_the_names_of_their_entry_points(custom: Path) -> None:
    extension(custom, "a.py")
    package(custom, "evening", TEMPLATE, module="dusk", distribution="distill3d-evening")
    assert [(item.name, item.place) for item in found(custom)] == [
        ("a", "custom/a.py"),
        ("evening", "the package 'distill3d-evening'"),
    ]
    assert load(custom, only=["a"]) == ["a"] and load(custom, only=None, without=["evening"]) == ["a"]
    assert "sunset" not in BACKGROUNDS.names()
    assert load(custom, only=None) == ["a", "evening"]
    assert BACKGROUNDS.target("sunset") == "dusk:Sunset"


def test_extensions_of_the_same_name_are_refused_with_both_places(custom: Path) -> None:
    for name in ("a.py", "a/__init__.py", "b.py", "evening.py"):
        extension(custom, name)
    package(custom, "evening", module="dusk", distribution="distill3d-evening")
    package(custom, "morning", module="dawn", distribution="distill3d-morning")
    package(custom, "morning", module="dawn", distribution="another-morning")
    for name, places in (
        ("a", "custom/a and custom/a.py"),
        ("evening", "custom/evening.py and the package 'distill3d-evening'"),
        ("morning", "the package 'another-morning' and the package 'distill3d-morning'"),
    ):
        with pytest.raises(ExtensionError) as caught:
            load(custom, only=[name])
        assert str(caught.value) == (
            f"Two extensions are called '{name}': {places}. Rename or remove one, or start with --without {name}, which "
            "leaves out both."
        )
    assert load(custom, only=None, without=["a", "evening", "morning"]) == ["b"]


def test_components_of_the_same_name_are_refused_with_both_places(custom: Path) -> None:
    extension(custom, "first.py", TEMPLATE)
    package(custom, "second", TEMPLATE, module="dusk", distribution="distill3d-evening")
    with pytest.raises(ExtensionError) as caught:
        load(custom, only=None)
    assert str(caught.value).startswith(
        "the package 'distill3d-evening' could not be loaded: background/sunset is defined twice: by custom.first:Sunset "
        "and by dusk:Sunset. Fix it"
    )
    assert load(custom, only=None, without=["second"]) == ["first"]


def test_a_stage_cannot_have_extensions_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nstages:\n  fine:\n    extensions: [b]\n")
    with pytest.raises(ConfigError) as caught:
        named_in(load_tree(tmp_path / "a.yaml"))
    assert str(caught.value) == (
        "stages.fine.extensions: extensions are loaded for all stages at once; name them beside 'stages'. "
        f"({tmp_path}/a.yaml:4)"
    )


TEMPLATE = (Path(extensions.__file__).parents[2] / "custom" / "_template.py").read_text(encoding="utf-8")


def test_the_template_has_about_thirty_lines() -> None:
    assert 20 <= len(TEMPLATE.strip().splitlines()) <= 35


def test_the_template_is_loaded_configured_and_drawn(custom: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extension(custom, "sunset.py", TEMPLATE)
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
