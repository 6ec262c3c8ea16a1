"""`--print-config`: the resolved configuration, and where each of its values was set."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from framework.core.component import Slot
from framework.core.config import dump
from framework.core.run_config import RunConfig
from framework.core.yaml_tree import Path_, Tree


def print_config(run: RunConfig, tree: Tree, *, stage: str = "") -> None:
    """Print the resolved config, each value with `default`, its file and line, or `command line`."""
    if stage:
        print(f"# stage {stage}")
    for line in _tagged(dump(run), (), _Origins(tree, run)):
        print(line)


class _Origins:
    """Where the values of a resolved config were set, for all that they may be written shorter than they are shown."""

    def __init__(self, tree: Tree, run: RunConfig) -> None:
        self.tree = tree
        self.written: dict[Path_, Path_] = {}
        self._find_shorthands(run, tree.data, ())

    def _find_shorthands(self, config: Any, data: Any, path: Path_) -> None:
        if not dataclasses.is_dataclass(config) or not isinstance(data, Mapping):
            return
        for field in dataclasses.fields(config):
            slot: Slot | None = field.metadata.get("slot")
            below = data.get(field.name)
            if slot and slot.single and isinstance(below, Mapping) and "type" in below:
                self.written[(*path, field.name, slot.single)] = (*path, field.name)
            self._find_shorthands(getattr(config, field.name), below, (*path, field.name))

    def of(self, path: Path_, value: Any) -> str:
        """`default`, file and line, or `command line`."""
        for shown, written in self.written.items():
            if path[: len(shown)] == shown:
                path = (*written, *path[len(shown) :])
        if path in self.tree.origins:
            return self.tree.origins[path]
        # A component may be a bare name, a prior the path of its model, and a loss may be named by its own key.
        above = self._data(path[:-1])
        is_bare = isinstance(above, str) and (path[-1] == "type" or above == value)
        is_key = path[-1] == "type" and path[-2:-1] == (value,)
        return self.tree.origins.get(path[:-1], "default") if is_bare or is_key else "default"

    def _data(self, path: Path_) -> Any:
        data: Any = self.tree.data
        for key in path:
            data = data.get(key) if isinstance(data, Mapping) else None
        return data


def _tagged(value: Any, path: Path_, origins: _Origins) -> list[str]:
    indent = "  " * (len(path) - 1)
    name = path[-1] if path else ""
    if isinstance(value, dict) and value:
        lines = [f"{indent}{name}:"] if path else []
        for key, item in value.items():
            lines += _tagged(item, (*path, str(key)), origins)
        return lines
    return [f"{indent}{name}: {json.dumps(value)}  # {origins.of(path, value)}"]
