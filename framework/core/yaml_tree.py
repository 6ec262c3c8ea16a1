"""YAML files as plain trees that remember where each value came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from framework.core.errors import ConfigError, Problem, did_you_mean

Path_ = tuple[str, ...]
COMMAND_LINE = "command line"
VARIANT = "variant="
_MOST_VALUES = 20_000


class _Loader(yaml.SafeLoader):
    """A safe loader of scalars as YAML 1.2 has them: `1e-2` is a number; `on`, `12:30` and `2026-01-01` are text."""


_NUMBERS_AND_WORDS = {
    "tag:yaml.org,2002:int": (r"^[-+]?(0|[1-9]\d*)$", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"^[-+]?(\d+\.\d*([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+([eE][-+]?\d+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$",
        "-+0123456789.",
    ),
    "tag:yaml.org,2002:bool": (r"^(true|True|TRUE|false|False|FALSE)$", "tTfF"),
}
_REPLACED = {*_NUMBERS_AND_WORDS, "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _NUMBERS_AND_WORDS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


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

    def without(self, key: str) -> Tree:
        """The tree without one of its root keys."""
        data = {name: value for name, value in self.data.items() if name != key}
        return Tree(data, {path: origin for path, origin in self.origins.items() if path[:1] != (key,)})

    def below(self, path: Path_, data: Mapping[str, Any]) -> Tree:
        """The mapping `data` that stands at `path`, as a tree of its own."""
        length = len(path)
        return Tree(dict(data), {item[length:]: at for item, at in self.origins.items() if item[:length] == path})


def load_tree(path: Path) -> Tree:
    """The tree of a YAML file with the files that it `extends` underneath.

    Raises:
        ConfigError: If a file is missing or is no YAML mapping; names file and line.
    """
    return _load(path, ())


def _load(path: Path, above: tuple[Path, ...]) -> Tree:
    tree = _read(path)
    result = Tree()
    for base in _bases(tree):
        target = path.parent / base
        if target.resolve() in (path.resolve(), *(item.resolve() for item in above)):
            chain = " -> ".join(str(item) for item in (*above, path, target))
            raise ConfigError([Problem("extends", f"the files extend each other: {chain}.", tree.origin(("extends",)))])
        if not target.is_file():
            message = f"there is no file {target}.{_nearby(target)}"
            raise ConfigError([Problem("extends", message, tree.origin(("extends",)))])
        result = merge(result, _load(target, (*above, path)))
    tree.data.pop("extends", None)
    return merge(result, tree)


def _bases(tree: Tree) -> list[str]:
    bases = tree.data.get("extends") or []
    names = bases if isinstance(bases, list) else [bases]
    for name in names:
        if not isinstance(name, str):
            message = f"expected a file name or a list of them, got {name!r}."
            raise ConfigError([Problem("extends", message, tree.origin(("extends",)))])
    return names


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
        data = _Plain(str(path), tree.origins).value(node, ()) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}.") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply, or contains itself by an alias.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(data).__name__}.")
    tree.data = data
    return tree


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either."
    return did_you_mean(path.name, [item.name for item in path.parent.glob("*.yaml")])


class _Plain:
    """Makes plain data of a file's nodes, and notes the line of each in `origins`."""

    def __init__(self, file: str, origins: dict[Path_, str]) -> None:
        self.file = file
        self.origins = origins
        self.count = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:
        """The data of a node at `path`.

        Raises:
            ConfigError: If a key is given twice or is no key, or aliases make the data grow without bounds.
        """
        line = node.start_mark.line + 1
        self.origins[path] = f"{self.file}:{line}"
        self.count += 1
        if self.count > _MOST_VALUES:
            raise ConfigError(
                f"{self.file}:{line}: more than {_MOST_VALUES:,} values, those that aliases repeat included."
            )
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, str(index))) for index, item in enumerate(node.value)]
        return self.mapping(node, path) if isinstance(node, yaml.MappingNode) else self.scalar(node)

    def scalar(self, node: yaml.Node) -> Any:
        return _Loader("").construct_object(node, deep=True)

    def mapping(self, node: yaml.MappingNode, path: Path_) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        first_lines: dict[Any, int] = {}
        for key_node, value_node in node.value:
            key = self.scalar(key_node)
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int)):
                raise ConfigError(f"{self.file}:{line}: keys must be words or whole numbers, got {key!r}.")
            if key in result:
                message = f"is given twice, first in line {first_lines[key]}."
                raise ConfigError([Problem(".".join((*path, str(key))), message, f"{self.file}:{line}")])
            first_lines[key] = line
            result[key] = self.value(value_node, (*path, str(key)))
            self.origins[(*path, str(key))] = f"{self.file}:{line}"
        return result


def override(tree: Tree, words: Iterable[str]) -> Tree:
    """`tree` changed by command-line words `a.b.c=value`; values are YAML, `prompt` is always plain text.

    Where the tree has a key with dots, such as the `scene.geometry` of an optimizer's parameters, the word means that. A
    word `variant=NAME` takes one of the tree's `variants`, settings under a name such as those of a paper; wherever it
    stands, the other words win over it.

    Raises:
        ConfigError: If a word has no `=` or no key, or there is no such variant.
    """
    words = list(words)
    tree = _with_variant(tree, [word.partition("=")[2] for word in words if word.startswith(VARIANT)])
    for word in words:
        if word.startswith(VARIANT):
            continue
        key, equals, text = word.partition("=")
        names = key.split(".")
        if not equals or not all(names) or key.startswith("-"):
            raise ConfigError(f"'{word}' is neither an option nor a setting such as seed=1. See --help.")
        path = _known_keys(names, tree.data)
        tree = commanded(tree, path, text if path == ("prompt",) else _override_value(text))
    return tree


def commanded(tree: Tree, path: Path_, value: Any) -> Tree:
    """`tree` with `value` at `path` from the command line."""
    for name in reversed(path):
        value = {name: value}
    return merge(tree, Tree(value, {path[: depth + 1]: COMMAND_LINE for depth in range(len(path))}))


def _with_variant(tree: Tree, names: Sequence[str]) -> Tree:
    """`tree` with the last of the variants that were asked for, and without its `variants`."""
    variants = tree.data.get("variants") or {}
    plain = tree.without("variants")
    if not names:
        return plain
    chosen = variants.get(names[-1]) if isinstance(variants, Mapping) else None
    if not isinstance(chosen, Mapping):
        known = did_you_mean(names[-1], variants if isinstance(variants, Mapping) else ()) or " It has none."
        raise ConfigError([Problem("variant", f"this config has no variant '{names[-1]}'.{known}", COMMAND_LINE)])
    return merge(plain, tree.below(("variants", names[-1]), chosen))


def _known_keys(names: list[str], data: Any) -> Path_:
    """`names` with neighbours joined by dots wherever `data` has such a key."""
    path: list[str] = []
    while names:
        lengths = range(len(names), 0, -1) if isinstance(data, Mapping) else []
        length = next((n for n in lengths if ".".join(names[:n]) in data), 1)
        path.append(".".join(names[:length]))
        data = data.get(path[-1]) if isinstance(data, Mapping) else None
        names = names[length:]
    return tuple(path)


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
    # A setting on the command line touches the mappings around it, but they were written where they were.
    added = {path: origin for path, origin in over.origins.items() if origin != COMMAND_LINE or path not in origins}
    return Tree(data, {**origins, **added})


def _merge(base: Any, over: Any, path: Path_, origins: dict[Path_, str]) -> Any:
    if isinstance(base, str) and isinstance(over, Mapping) and over and "type" not in over:
        if path in origins:
            origins[(*path, "type")] = origins[path]
        base = {"type": base}
    if _replaces(base, over):
        for known in [item for item in origins if item[: len(path)] == path and path]:
            del origins[known]
        return over
    result = dict(base)
    for key, value in over.items():
        result[key] = _merge(result[key], value, (*path, str(key)), origins) if key in result else value
    return result


def _replaces(base: Any, over: Any) -> bool:
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return True
    return "type" in over and over["type"] != base.get("type", over["type"])
