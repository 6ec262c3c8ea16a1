"""`--list`, `--describe` and `--print-config`."""

from __future__ import annotations

import json
from typing import Any

from framework.core import registries
from framework.core.config import dump
from framework.core.errors import ConfigError, did_you_mean
from framework.core.outline import Outline, outline
from framework.core.run_config import RunConfig
from framework.core.schedule import Schedule
from framework.core.yaml_tree import Path_, Tree


def list_components(kind: str) -> int:
    """Print name, purpose and module of every component, of one kind or of all (`""`)."""
    if kind and kind not in registries.ALL:
        raise ConfigError(f"--list: there is no kind '{kind}'.{did_you_mean(kind, registries.ALL)}")
    for name in [kind] if kind else list(registries.ALL):
        registry = registries.ALL[name]
        print(f"{name}")
        width = max((len(item) for item in registry.names()), default=0)
        for item in registry.names():
            target = registry.target(item)
            print(f"  {item:<{width}}  {_first_line(_class_outline(target).doc)}  [{target.partition(':')[0]}]")
    return 0


def describe(path: str) -> int:
    """Print the settings of `kind/name` with types, defaults and documentation."""
    kind, _, name = path.partition("/")
    if kind not in registries.ALL:
        raise ConfigError(f"--describe: there is no kind '{kind}'.{did_you_mean(kind, registries.ALL)}")
    registry = registries.ALL[kind]
    target = registry.target(name)
    print(f"{kind}/{name}  [{target}]\n\n{_class_outline(target).doc.strip()}\n")
    _print_fields(outline(f"{target}.Config"), "  ")
    if (kind, name) == ("prior", "toybox"):
        from framework.toybox.vocabulary import describe_vocabulary

        print(f"\n{describe_vocabulary()}")
    return 0


def print_config(run: RunConfig, tree: Tree) -> int:
    """Print the resolved config, each value with `default`, its file and line, or `command line`."""
    for line in _tagged(dump(run), (), tree):
        print(line)
    return 0


def _class_outline(target: str) -> Outline:
    return outline(target)


def _first_line(doc: str) -> str:
    return doc.strip().splitlines()[0] if doc.strip() else ""


def _print_fields(shape: Outline, indent: str) -> None:
    for item in shape.fields.values():
        kind = f"one of {', '.join(item.slot.registry.names())}" if item.slot else type_text(item.type)
        kind = f"names, each {kind}" if item.slot and item.slot.many else kind
        default = "required" if item.is_required else f"default {item.default}"
        print(f"{indent}{item.name}: {kind}; {default}")
        for line in item.doc.strip().splitlines():
            print(f"{indent}    {line.strip()}")
        if isinstance(item.type, Outline):
            _print_fields(item.type, indent + "    ")


def type_text(kind: Any) -> str:
    """How a config type is called in `--describe`."""
    if isinstance(kind, Outline):
        return "settings"
    if kind is Schedule:
        return "number or schedule"
    return (
        str(kind.__name__)
        if isinstance(kind, type) and not hasattr(kind, "__args__")
        else str(kind).replace("typing.", "")
    )


def _tagged(value: Any, path: Path_, tree: Tree) -> list[str]:
    indent = "  " * (len(path) - 1)
    name = path[-1] if path else ""
    if isinstance(value, dict) and value:
        lines = [f"{indent}{name}:"] if path else []
        for key, item in value.items():
            lines += _tagged(item, (*path, str(key)), tree)
        return lines
    return [f"{indent}{name}: {json.dumps(value)}  # {_origin(path, tree)}"]


def _origin(path: Path_, tree: Tree) -> str:
    if path in tree.origins:
        return tree.origins[path]
    parent = tree.data
    for key in path[:-1]:
        parent = parent.get(key) if isinstance(parent, dict) else None  # type: ignore[assignment]
    is_shorthand = isinstance(parent, str) and path[-1] == "type"
    return tree.origins.get(path[:-1], "default") if is_shorthand else "default"
