"""`--list` and `--describe`: what can be configured, read from source without importing it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framework.core import registries
from framework.core.component import Slot
from framework.core.errors import ConfigError, did_you_mean
from framework.core.outline import FieldOutline, Outline, docstring, outline
from framework.core.schedule import Schedule
from framework.diffusion.families.support import SUPPORT, Support, read_records, record_of


def list_components(kind: str, *, records: Path | None = None) -> int:
    """Print name, purpose and module of every component, of one kind or of all (`""`); of priors, which are verified.

    Args:
        records: Folder with the records of `--verify-prior`; None where there is none.
    """
    if kind and kind not in registries.ALL:
        raise ConfigError(f"--list: there is no kind '{kind}'.{did_you_mean(kind, registries.ALL)}")
    for name in [kind] if kind else list(registries.ALL):
        registry = registries.ALL[name]
        print(f"{name}")
        width = max((len(item) for item in registry.names()), default=0)
        for item in registry.names():
            target = registry.target(item)
            print(f"  {item:<{width}}  {_first_line(docstring(target))}  [{target.partition(':')[0]}]")
    if kind == "prior":
        _print_models(records)
    return 0


def describe(path: str) -> int:
    """Print the settings of `kind/name` with types, defaults and documentation."""
    kind, _, name = path.partition("/")
    if kind not in registries.ALL:
        raise ConfigError(f"--describe: there is no kind '{kind}'.{did_you_mean(kind, registries.ALL)}")
    registry = registries.ALL[kind]
    target = registry.target(name)
    print(f"{kind}/{name}  [{target}]\n\n{docstring(target).strip()}\n")
    _print_fields(outline(f"{target}.Config"), "  ")
    if (kind, name) == ("prior", "toybox"):
        from framework.toybox.captions import VOCABULARY

        print(f"\nvocabulary: {', '.join(sorted(VOCABULARY))}")
    return 0


def _print_models(folder: Path | None) -> None:
    """The models that `pretrained` knows by short names, and how far each has been verified."""
    records = [] if folder is None else read_records(folder)
    print("\nmodels of 'pretrained' by short name, and how far they are verified (docs/verified-models.md)")
    width = max(len(model) for family in SUPPORT for model in family.models)
    for family in SUPPORT:
        print(f"  {family.title}")
        for model in family.models or ("any folder or hub id",):
            print(f"    {model:<{width}}  {_verified(family, model, records)}")
    print("Whoever has the weights can verify them: launch.py --verify-prior MODEL")


def _verified(family: Support, model: str, records: list[Mapping[str, Any]]) -> str:
    checked = [_checked("structure", family.structure), _checked("replay", family.replay)]
    record = record_of(model, records)
    if record is None or record.get("passed") is None:
        checked.append("not verified with weights")
    elif record.get("passed"):
        checked.append(f"verified with weights, {record.get('date')}")
    else:
        checked.append(f"weights failed verification, {record.get('date')}")
    return "; ".join(checked)


def _checked(what: str, how: str) -> str:
    """'yes' is all there is to say, 'yes, ...' says more, and anything else to what extent."""
    return f"{what} checked{how.removeprefix('yes')}" if how.startswith("yes") else f"{what} checked {how}"


def _first_line(doc: str) -> str:
    return doc.strip().splitlines()[0] if doc.strip() else ""


def _print_fields(shape: Outline, indent: str) -> None:
    for item in shape.fields.values():
        print(f"{indent}{item.name}: {_slot_text(item.slot) if item.slot else type_text(item.type)}; {_default(item)}")
        for line in item.doc.strip().splitlines():
            print(f"{indent}    {line.strip()}")
        for section in (item.type, *typing.get_args(item.type)):
            if isinstance(section, Outline):
                _print_fields(section, indent + "    ")


def _slot_text(slot: Slot) -> str:
    kind = f"one of {', '.join(slot.registry.names())}"
    return f"names, each {kind}" if slot.many else kind


def _default(item: FieldOutline) -> str:
    if item.is_required:
        return "required"
    constant = re.fullmatch(r"(?:schedule\.)?Constant\((.*)\)", str(item.default))
    return f"default {constant[1] if constant else item.default}"


def type_text(kind: Any) -> str:
    """How a config type is called in `--describe`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, Outline):
        return "settings or null" if kind.is_nullable else "settings"
    if kind is Schedule:
        return "number or schedule"
    if origin is None:
        return _NAMES.get(kind, str(kind))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_text(item) for item in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is dict:
        return f"names, each {type_text(arguments[1])}"
    if origin is list or arguments[1:] == (...,):
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(type_text(item) for item in arguments)}]"
    return str(kind)


_NAMES: dict[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
    Any: "anything",
}
