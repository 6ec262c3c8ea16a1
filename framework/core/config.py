"""From a YAML tree to frozen config objects, and back.

The tree is checked whole before anything is built: against outlines read from source, without importing torch, all
problems collected, each with its path and the line that caused it. Only a tree without problems is turned into objects;
range checks in a config's `__post_init__` then report in the same form.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from framework.core.component import Slot
from framework.core.errors import ConfigError, Problem, UserError, did_you_mean
from framework.core.outline import FieldOutline, Outline, live_outline, outline
from framework.core.registry import UnknownName
from framework.core.run_config import RunConfig
from framework.core.schedule import Schedule, parse_schedule
from framework.core.yaml_tree import Path_, Tree, load_tree, override

T = TypeVar("T")
_INVALID: Any = object()


def load_config(path: Path, overrides: Iterable[str] = ()) -> tuple[RunConfig, Tree]:
    """The run that a YAML file and command-line overrides describe, and the tree it came from.

    Raises:
        ConfigError: With every problem of the file and the overrides.
    """
    tree = override(load_tree(path), overrides)
    return parse(RunConfig, tree), tree


def parse(cls: type[T], tree: Tree) -> T:
    """An instance of the config class `cls` from a tree.

    Raises:
        ConfigError: With every problem of the tree.
    """
    tree = Tree(_interpolate(tree), tree.origins)
    shape = outline(f"{cls.__module__}:{cls.__qualname__}")
    for makes in (False, True):
        parser = _Parser(tree, makes=makes)
        value = parser.section(shape, tree.data, ())
        if parser.problems:
            raise ConfigError(parser.problems)
    return typing.cast(T, value)


def dump(config: Any) -> Any:
    """The plain tree that parses into `config` again, with all defaults written out."""
    if isinstance(config, Schedule):
        return config.dump()
    if dataclasses.is_dataclass(config):
        return {field.name: _dump_field(field, getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {key: dump(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [dump(value) for value in config]
    return config


def _dump_field(field: dataclasses.Field[Any], value: Any) -> Any:
    slot: Slot | None = field.metadata.get("slot")
    if slot is None or value is None:
        return dump(value)
    if slot.many:
        return {name: {"type": slot.registry.name_of(item), **dump(item)} for name, item in value.items()}
    return {"type": slot.registry.name_of(value), **dump(value)}


def _interpolate(tree: Tree) -> dict[str, Any]:
    if "${" not in repr(tree.data):
        return tree.data
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return typing.cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(tree.data), resolve=True))
    except OmegaConfBaseException as error:
        path = error.full_key or ""
        message = f"the interpolation cannot be resolved: {str(error).splitlines()[0].rstrip('.')}."
        raise ConfigError([Problem(path, message, tree.origin(tuple(path.split("."))))]) from None


class _Parser:
    """Walks a tree beside its outline; with `makes` it also builds the objects."""

    def __init__(self, tree: Tree, *, makes: bool) -> None:
        self.tree = tree
        self.makes = makes
        self.problems: list[Problem] = []

    def fail(self, path: Path_, message: str, *, at: Path_ | None = None) -> Any:
        """Note a problem of `path`, caused by what stands at `at`; returns what stands for no value."""
        self.problems.append(Problem(".".join(path), message, self.tree.origin(path if at is None else at)))
        return _INVALID

    def section(self, shape: Outline, data: Any, path: Path_) -> Any:
        if not isinstance(data, Mapping):
            return self.fail(path, f"expected keys of {shape.title}, got {data!r}.")
        for key in data:
            if key not in shape.fields:
                hint = did_you_mean(str(key), shape.fields)
                self.fail((*path, str(key)), f"unknown key '{key}' for {shape.title}.{hint}")
        before, values = len(self.problems), {}
        for name, item in shape.fields.items():
            if name in data and data[name] != "???":
                values[name] = self.field(item, data[name], (*path, name))
            elif item.is_required:
                self.fail((*path, name), f"is missing; {shape.title} needs it.{_purpose(item)}")
        is_whole = self.makes and len(self.problems) == before
        return self.make(shape, values, path) if is_whole else _INVALID

    def make(self, shape: Outline, values: dict[str, Any], path: Path_) -> Any:
        try:
            return shape.make(values)
        except (UserError, ValueError) as error:
            named = [name for name in re.findall(r"\w+", str(error)) if (*path, name) in self.tree.origins]
            return self.fail(path, str(error), at=(*path, *named[:1]))

    def field(self, item: FieldOutline, value: Any, path: Path_) -> Any:
        if item.slot is None:
            return self.value(item.type, value, path)
        if value is None and item.slot.nullable:
            return None
        if item.slot.many:
            return self.many(item.slot, value, path)
        return self.component(item.slot, value, path, item.slot.default)

    def many(self, slot: Slot, value: Any, path: Path_) -> Any:
        """Components by name; null removes one of them, or all."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            return self.fail(path, f"expected names with a {slot.registry.kind} each, got {value!r}.")
        if slot.single is not None and "type" in value:
            return {slot.single: self.component(slot, value, path, None)}
        return {
            str(name): self.component(slot, item, (*path, str(name)), str(name))
            for name, item in value.items()
            if item is not None
        }

    def component(self, slot: Slot, value: Any, path: Path_, default: str | None) -> Any:
        """The component at `path`; without a `type` it is the one called `default`."""
        registry = slot.registry
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping):
            message = f"expected the name of a component of kind '{registry.kind}' or a mapping with its 'type'"
            return self.fail(path, f"{message}, got {value!r}.")
        kind = value.get("type", default)
        if kind is None:
            return self.fail(path, f"'type' is missing. Known: {', '.join(registry.names())}.")
        path_type = registry.as_path(str(kind))
        if path_type is not None:
            value = {**value, path_type[1]: kind}
            kind = path_type[0]
        try:
            target = registry.target(str(kind))
            if self.makes:
                registry.find(str(kind))
        except UnknownName as error:
            return self.fail((*path, "type"), str(error))
        rest = {key: item for key, item in value.items() if key != "type"}
        return self.section(outline(f"{target}.Config"), rest, path)

    def value(self, kind: Any, value: Any, path: Path_) -> Any:
        if isinstance(kind, Outline):
            return None if value is None and kind.is_nullable else self.section(kind, value, path)
        if dataclasses.is_dataclass(kind):
            return self.section(live_outline(typing.cast(type, kind)), value, path)
        if kind is Schedule:
            return self.schedule(value, path)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self.union(arguments, value, path)
        if origin is Literal:
            return value if value in arguments else self.fail(path, _not_allowed(value, arguments))
        if origin in (list, tuple, dict):
            return self.collection(origin, arguments, value, path)
        return self.scalar(kind, value, path)

    def schedule(self, value: Any, path: Path_) -> Any:
        try:
            return parse_schedule(value)
        except ValueError as error:
            return self.fail(path, str(error))

    def union(self, arguments: tuple[Any, ...], value: Any, path: Path_) -> Any:
        if value is None and type(None) in arguments:
            return None
        choices = [item for item in arguments if item is not type(None)]
        for choice in choices[:-1]:
            trial = _Parser(self.tree, makes=self.makes)
            result = trial.value(choice, value, path)
            if not trial.problems:
                return result
        return self.value(choices[-1], value, path)

    def collection(self, origin: type, arguments: tuple[Any, ...], value: Any, path: Path_) -> Any:
        if origin is dict:
            if not isinstance(value, Mapping):
                return self.fail(path, f"expected keys and values, got {value!r}.")
            return {str(key): self.value(arguments[1], item, (*path, str(key))) for key, item in value.items()}
        if not isinstance(value, (list, tuple)):
            return self.fail(path, f"expected a list, got {value!r}.")
        is_open = origin is list or arguments[-1] is Ellipsis
        if not is_open and len(value) != len(arguments):
            return self.fail(path, f"expected {len(arguments)} values, got {len(value)}.")
        kinds = [arguments[0]] * len(value) if is_open else arguments
        items = [
            self.value(kind, item, (*path, str(i))) for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
        ]
        return origin(items)

    def scalar(self, kind: Any, value: Any, path: Path_) -> Any:
        if kind is Any:
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
            return value
        return self.fail(path, f"expected {_KINDS.get(kind, kind.__name__)}, got {value!r}.")


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _purpose(item: FieldOutline) -> str:
    first = item.doc.strip().splitlines()[0] if item.doc else ""
    return f" {first}" if first else ""


def _not_allowed(value: Any, options: tuple[Any, ...]) -> str:
    return f"{value!r} is not allowed.{did_you_mean(str(value), [str(option) for option in options])}"
