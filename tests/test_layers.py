"""Imports go one way: each layer of the package may import only those before it, function-level imports included."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "framework"

# A layer, and those that it may import directly; what these may import it may import, too.
BELOW: dict[str, tuple[str, ...]] = {
    "core": (),
    "structures": ("core",),
    "ops": ("structures",),
    "networks": ("ops",),
    "geometry": ("networks",),
    "materials": ("networks",),
    "backgrounds": ("networks",),
    "renderers": ("geometry", "materials", "backgrounds"),
    "export": ("renderers",),
    "toybox": ("ops",),
    "diffusion": ("toybox",),
    "prompts": ("diffusion",),
    "guidance": ("prompts",),
    "losses": ("structures",),
    "data": ("structures", "toybox"),
    "systems": ("export", "guidance", "losses", "data"),
    "report": ("export",),
    "viewer": ("systems",),
    "cli": ("viewer", "report"),
    "bench": ("cli",),
}
# Foreign packages that would bind a whole layer to them, and the only places that know them.
GUARDED = {
    "warp": ("ops/warp/", "toybox/primitives_warp.py", "toybox/tracing_warp.py", "export/marching_cubes.py"),
    "pytorch_lightning": (
        "systems/lightning.py",
        "systems/callbacks.py",
        "systems/placement.py",
        "viewer/live_view.py",
        "cli/train.py",
    ),
    "diffusers": ("diffusion/families/", "systems/diffusion_training.py"),
    "omegaconf": ("core/config.py",),
    "jinja2": ("report/",),
    "wandb": ("systems/wandb_dashboard.py",),
    "viser": ("viewer/", "bench/watcher.py"),
    "tinycudann": ("ops/tinycudann/",),
}
# What `--help`, listings and errors in a config file load: none of it may import torch when it is imported.
LIGHT = [
    *(PACKAGE / "core").glob("*.py"),
    *(PACKAGE / "cli" / f"{name}.py" for name in ("main", "inspect", "extensions")),
]
HEAVY_CORE = {"checkpoint.py"}


def allowed(layer: str) -> set[str]:
    """All layers that `layer` may import."""
    return {layer}.union(*(allowed(below) for below in BELOW[layer]))


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names of all modules imported anywhere in `tree`, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            # `from framework import ops` names its layer behind the word import.
            names = [f".{alias.name}" for alias in node.names] if node.module == "framework" else [""]
            yield from ((f"{node.module}{name}", node.lineno) for name in names)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_every_folder_of_the_package_is_a_layer() -> None:
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in modules() if path.parent != PACKAGE}
    assert folders == set(BELOW)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py"}


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_only_those_below_it(layer: str) -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {layer} imports {name}"
        for path in sorted((PACKAGE / layer).rglob("*.py"))
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.split(".")[0] == "framework" and name.split(".")[1] not in allowed(layer)
    ]
    assert faults == []


def test_consequences_that_the_design_names() -> None:
    for blind in ("guidance", "losses"):
        assert not allowed(blind) & {"renderers", "geometry", "materials"}
    assert not allowed("geometry") & {"diffusion", "prompts", "guidance"}
    assert [layer for layer in BELOW if "systems" in allowed(layer)] == ["systems", "viewer", "cli", "bench"]


@pytest.mark.parametrize("package", GUARDED)
def test_a_foreign_package_is_known_only_where_it_is_adapted(package: str) -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules()
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.split(".")[0] == package
        and not path.relative_to(PACKAGE).as_posix().startswith(GUARDED[package] or ("-",))
    ]
    assert faults == []


@pytest.mark.parametrize("path", [path for path in LIGHT if path.name not in HEAVY_CORE], ids=lambda path: path.stem)
def test_what_answers_at_once_imports_nothing_heavy_when_it_is_imported(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
    light = {"framework", "yaml", *sys.stdlib_module_names}
    assert [name for name, _ in imported(top) if name.split(".")[0] not in light] == []
    assert not any(name.startswith("framework.core.checkpoint") for name, _ in imported(top))
