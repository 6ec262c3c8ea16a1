"""YAML files as plain trees that remember where each value came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from framework.core.errors import ConfigError, Problem

Path_ = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """A safe loader that reads `1e-2` as a number and keeps `on` and `off` words."""


_Loader.yaml_implicit_resolvers = {
    key: [
        (tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:float", "tag:yaml.org,2002:bool")
    ]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = re.compile(
    r"^[-+]?(\d+\.\d*([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+([eE][-+]?\d+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass
class Tree:
    """Plain data together with the origin of every path in it (`file:line` or `command line`)."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path_, str] = field(default_factory=dict)

    def origin(self, path: Path_) -> str | None:
        """Where `path` was set: its own origin, or that of the nearest mapping around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None


def load_tree(path: Path) -> Tree:
    """The tree of a YAML file with the files that it `extends` underneath.

    Raises:
        ConfigError: If a file is missing or is no YAML mapping; names file and line.
    """
    return _load(path, ())


def _load(path: Path, above: tuple[Path, ...]) -> Tree:
    if path.resolve() in above:
        raise ConfigError(f"{path}: extends itself by way of {' -> '.join(str(item) for item in above)}.")
    tree = _read(path)
    bases = tree.data.pop("extends", None) or []
    result = Tree()
    for base in [bases] if isinstance(bases, str) else bases:
        result = merge(result, _load(path.parent / str(base), (*above, path.resolve())))
    return merge(result, tree)


def _read(path: Path) -> Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file.{_nearby(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None
    tree = Tree()
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = _plain(node, (), str(path), tree.origins) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(data).__name__}.")
    tree.data = data
    return tree


def _nearby(path: Path) -> str:
    from framework.core.errors import did_you_mean

    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either."
    return did_you_mean(path.name, [item.name for item in path.parent.glob("*.yaml")])


def _plain(node: yaml.Node, path: Path_, file: str, origins: dict[Path_, str]) -> Any:
    origins[path] = f"{file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, str(index)), file, origins) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _Loader("").construct_object(node, deep=True)
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = _Loader("").construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, (str, int)):
            raise ConfigError(f"{file}:{line}: keys must be words or whole numbers, got {key!r}.")
        if key in result:
            raise ConfigError([Problem(".".join((*path, str(key))), "is given twice.", f"{file}:{line}")])
        result[key] = _plain(value_node, (*path, str(key)), file, origins)
        origins[(*path, str(key))] = f"{file}:{line}"
    return result


def parse_overrides(words: Iterable[str]) -> Tree:
    """The tree of command-line words `a.b.c=value`; values are YAML, `prompt` is always plain text.

    Raises:
        ConfigError: If a word has no `=` or no key.
    """
    tree = Tree()
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key or key.startswith("-"):
            raise ConfigError(f"'{word}' is neither an option nor a setting such as seed=1. See --help.")
        path = tuple(key.split("."))
        value: Any = text if path == ("prompt",) else _override_value(text)
        for name in reversed(path):
            value = {name: value}
        part = Tree(value, {path[: depth + 1]: "command line" for depth in range(len(path))})
        tree = merge(tree, part)
    return tree


def _override_value(text: str) -> Any:
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text
    is_flow = text.lstrip().startswith(("{", "["))
    return text if isinstance(value, (dict, list)) and not is_flow else value


def merge(base: Tree, over: Tree) -> Tree:
    """`over` laid on `base`: mappings merge key by key, all else replaces.

    A mapping that names another `type` than the one below replaces it whole, since the keys of one component mean
    nothing to another; a component written as a bare word is that `type`.
    """
    origins = dict(base.origins)
    data = _merge(base.data, over.data, (), origins)
    return Tree(data, {**origins, **over.origins})


def _merge(base: Any, over: Any, path: Path_, origins: dict[Path_, str]) -> Any:
    if isinstance(base, str) and isinstance(over, Mapping) and "type" not in over and over:
        base = {"type": base}
    replaces = not isinstance(base, Mapping) or not isinstance(over, Mapping)
    if not replaces and "type" in over and over["type"] != base.get("type", over["type"]):
        replaces = True
    if replaces:
        for known in [item for item in origins if item[: len(path)] == path and path]:
            del origins[known]
        return over
    result = dict(base)
    for key, value in over.items():
        result[key] = _merge(result[key], value, (*path, str(key)), origins) if key in result else value
    return result
