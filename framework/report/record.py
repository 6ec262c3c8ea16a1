"""What the files of a run folder say, read without building any part of the run.

A report must be possible of any run, however old or broken: a file that is missing leaves its part empty, one that cannot
be read is named among `problems`.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from framework.core.errors import UserError
from framework.core.run_directory import RunDirectory
from framework.core.yaml_tree import load_tree
from framework.report.refinement import Refinement, read_refinement

T = TypeVar("T")
Points = tuple[tuple[float, float], ...]
"""A curve: pairs of step and value."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunRecord:
    """A run as its files describe it.

    Attributes:
        directory: Where the files lie.
        config: The resolved configuration as a plain tree; empty without one.
        state: What the run noted about itself: state, step, reason, started, seconds, made_by; all may be missing.
        metrics: Logged numbers by name, without cells that are empty or not finite.
        scores: Content of `scores.json`, or None.
        refinement: What was made of the mesh file that the run started from, or None.
        problems: A sentence for each file that could not be read.
    """

    directory: RunDirectory
    config: Mapping[str, Any]
    state: Mapping[str, Any]
    metrics: Mapping[str, Points]
    scores: Any
    refinement: Refinement | None
    problems: tuple[str, ...]

    @classmethod
    def read(cls, directory: RunDirectory) -> RunRecord:
        """The record of a run folder."""
        problems: list[str] = []
        return cls(
            directory=directory,
            config=_attempt(directory.config, lambda path: load_tree(path).data, {}, problems),
            state=_attempt(directory.root / "run.json", _parse_state, {}, problems),
            metrics=_attempt(directory.metrics, _parse_metrics, {}, problems),
            scores=_attempt(directory.scores, _parse_json, None, problems),
            refinement=_attempt(directory.refinement, lambda path: read_refinement(directory), None, problems),
            problems=tuple(problems),
        )

    @property
    def prompt(self) -> str:
        """What was asked for; the folder's name where the config does not tell."""
        return str(self.config.get("prompt") or self.directory.root.name)

    @property
    def name(self) -> str:
        """Name of the stage, or of the configuration."""
        if isinstance(stage := self.state.get("stage"), str):
            return stage
        return str(self.config.get("name") or self.directory.root.parent.name)

    @property
    def max_steps(self) -> int | None:
        """Length of the run in training steps."""
        value = setting(self.config, "trainer", "max_steps")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def started(self) -> datetime | None:
        """When the run began; by its folder's name where it is not noted."""
        noted, named = self.state.get("started"), re.search(r"@(\d{8}-\d{6})", self.directory.root.name)
        try:
            if noted is None and named is not None:
                return datetime.strptime(named[1], "%Y%m%d-%H%M%S")
            return datetime.fromisoformat(str(noted))
        except ValueError:
            return None

    @property
    def seconds(self) -> float | None:
        """Time spent on training and export."""
        value = self.state.get("seconds")
        return float(value) if isinstance(value, (int, float)) else None

    @property
    def memory(self) -> dict[str, dict[str, float]]:
        """Largest memory by phase and kind, GiB; empty where it is not noted."""
        noted = self.state.get("memory")
        found: dict[str, dict[str, float]] = {}
        for name, sizes in noted.items() if isinstance(noted, dict) else ():
            if isinstance(sizes, dict):
                found[str(name)] = {kind: float(size) for kind, size in sizes.items() if isinstance(size, (int, float))}
        return found


def setting(tree: Any, *path: str) -> Any:
    """The value at `path` of a tree of mappings, or None."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _attempt(path: Path, parse: Callable[[Path], T], default: T, problems: list[str]) -> T:
    """What `parse` makes of a file; `default` if there is none or it cannot be read, which is then noted."""
    if not path.exists():
        return default
    try:
        return parse(path)
    except (OSError, ValueError, csv.Error, UserError) as error:
        cause = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        problems.append(f"{path.name} cannot be read, so that what it holds is left out: {cause}.")
        _log.warning("Report of %s: %s", path.parent, problems[-1])
        return default


def _parse_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _parse_state(path: Path) -> dict[str, Any]:
    state = _parse_json(path)
    if not isinstance(state, dict):
        raise ValueError("it holds no mapping")
    return state


def _parse_metrics(path: Path) -> dict[str, Points]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        if "step" not in names:
            raise ValueError("it has no column 'step'")
        columns: dict[str, list[tuple[float, float]]] = {name: [] for name in names if name != "step"}
        for row in reader:
            step = _number(row["step"])
            for name, points in columns.items():
                value = _number(row[name])
                if step is not None and value is not None:
                    points.append((step, value))
    return {name: tuple(points) for name, points in columns.items() if points}


def _number(cell: str | None) -> float | None:
    """The finite number in a cell; None in one that is empty, cut short or something else."""
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
