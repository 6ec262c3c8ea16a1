"""Whole runs through the command line, small enough for a test."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.core.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[1]

# What makes a run of configs/dreamfusion.yaml and those that extend it take a few seconds; its structure stays.
SMALL = (
    "prior={type: analytic, image_size: 16}",
    "export=null",
    "trainer.max_steps=10",
    "trainer.log_every=1",
    "system.scene.geometry.encoding={num_levels: 3, log2_table_size: 8}",
    "system.scene.occupancy={resolution: 8, every: 4}",
    "system.renderer.samples_per_ray=16",
    "system.streams.random={height: 16, width: 16}",
    "system.validation={size: 16, views: 2}",
)


_NEW = pytest.StashKey[set[tuple[str, str]]]()
"""Kind and name of all that `--registered` has added."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/contracts --registered custom.sunset` holds an extension to what holds of the built-ins."""
    text = "import MODULE first, and run those tests alone that are about what it registers"
    parser.addoption("--registered", action="append", default=[], metavar="MODULE", help=text)


if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes share the cores; read when torch is imported, here and in what the tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Only the whole suite is worth several processes, each of which imports torch; `-n 2` asks for them all the same."""
    return None if config.args == [str(ROOT / "tests")] or config.args == ["tests"] else 0


def pytest_configure(config: pytest.Config) -> None:
    """Import what `--registered` names before the tests are collected."""
    names = config.getoption("--registered")
    before = _registered() if names else set()
    for name in names:
        sys.path.insert(0, str(ROOT))
        importlib.import_module(name)
    config.stash[_NEW] = _registered() - before if names else set()
    if names and not config.stash[_NEW]:
        raise pytest.UsageError(f"--registered: {', '.join(names)} registers nothing that is not there already.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--registered`, keep the tests that are about something of it."""
    names = {name for _, name in config.stash[_NEW]}
    if names:
        chosen = [item for item in items if names & set(_words(getattr(item, "callspec", None)))]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def _registered() -> set[tuple[str, str]]:
    from framework.core.registries import ALL

    return {(kind, name) for kind, registry in ALL.items() for name in registry.names()}


def _words(callspec: Any) -> Iterator[str]:
    """The names that a test is parametrised by, alone or in tuples."""
    for value in [] if callspec is None else callspec.params.values():
        yield from (item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, str))


class Launcher:
    """Starts `launch.py`'s main function here, with all runs below one folder."""

    def __init__(self, output_root: Path) -> None:
        self.output_root = output_root

    def __call__(self, config: str | Path, *settings: str) -> int:
        """The exit status of a training run."""
        from framework.cli.main import main

        return main(["--config", str(ROOT / config), f"output_root={self.output_root}", *settings])

    def small(self, *settings: str) -> int:
        """The exit status of a small run of the default config, by default of ten steps on the analytic prior."""
        return self("configs/dreamfusion.yaml", *SMALL, *settings)

    def runs(self) -> list[RunDirectory]:
        """All runs so far, oldest first."""
        return [RunDirectory(path.parent) for path in sorted(self.output_root.glob("*/*/run.json"))]


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What would be kept for later runs lies in a folder of the tests, never in the user's cache directory."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL3D_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    """Runs the command line in this process."""
    return Launcher(tmp_path / "outputs")


@pytest.fixture
def small_settings() -> tuple[str, ...]:
    """The settings of `launch.small`, for runs in other processes."""
    return SMALL


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """The settings of `launch.small`, for fixtures that several tests share."""
    return SMALL


@pytest.fixture
def launch_in(tmp_path: Path) -> Callable[[str], Launcher]:
    """Launchers whose runs lie in folders of their own."""
    return lambda name: Launcher(tmp_path / name)


@pytest.fixture(scope="session")
def launcher() -> type[Launcher]:
    """For runs that several tests look at."""
    return Launcher
