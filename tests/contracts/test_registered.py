"""What holds of every registered name: documented, outlined truthfully, described, built from its defaults."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

import pytest

from framework.cli.inspect import describe, list_components
from framework.core.component import Component, Slot
from framework.core.config import dump
from framework.core.outline import Outline, docstring, live_outline, outline, resolve
from framework.core.registries import ALL
from framework.core.run_config import RunConfig
from framework.core.schedule import Constant

NAMES = [(kind, name) for kind, registry in ALL.items() for name in registry.names()]
every_name = pytest.mark.parametrize(("kind", "name"), NAMES)
SAMPLES: dict[Any, Any] = {str: "text", int: 1, float: 1.0, bool: True}


def sections(shape: Outline) -> list[Outline]:
    """An outline and those nested in it."""
    found = [shape]
    for item in shape.fields.values():
        for kind in (item.type, *typing.get_args(item.type)):
            found += sections(kind) if isinstance(kind, Outline) else []
    return found


def summary(shape: Outline) -> list[object]:
    """All that parsing depends on; defaults by presence alone."""
    return [
        (shape.title, shape.target, shape.is_nullable),
        [(item.name, plain(item.type), item.is_required, item.slot) for item in shape.fields.values()],
    ]


def plain(kind: Any) -> Any:
    if isinstance(kind, Outline):
        return summary(kind)
    if typing.get_origin(kind) is dict:
        return ["dict", *(plain(item) for item in typing.get_args(kind))]
    return kind


@every_name
def test_a_component_says_what_it_is_in_its_first_line(kind: str, name: str) -> None:
    text = docstring(ALL[kind].target(name))
    assert text == inspect.getdoc(ALL[kind].find(name))
    first = text.splitlines()[0]
    assert first.endswith(".") and 15 <= len(first) <= 120


@every_name
def test_a_component_has_a_frozen_keyword_only_config_of_its_own(kind: str, name: str) -> None:
    cls = ALL[kind].find(name)
    assert issubclass(cls, Component) and "Config" in vars(cls)
    assert cls.Config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in dataclasses.fields(cls.Config))


@every_name
def test_every_setting_is_documented_by_the_string_under_it(kind: str, name: str) -> None:
    for section in sections(outline(f"{ALL[kind].target(name)}.Config")):
        for item in section.fields.values():
            assert item.doc.strip().endswith("."), f"{section.title}.{item.name}"


@every_name
def test_the_outline_read_from_source_equals_the_live_class(kind: str, name: str) -> None:
    target = f"{ALL[kind].target(name)}.Config"
    assert summary(outline(target)) == summary(live_outline(resolve(target)))


def test_the_outline_of_the_root_equals_the_live_class() -> None:
    shape = outline("framework.core.run_config:RunConfig")
    assert summary(shape) == summary(live_outline(RunConfig))
    assert all(item.doc for section in sections(shape) for item in section.fields.values())


@every_name
def test_describe_prints_every_setting_with_its_documentation(
    kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert describe(f"{kind}/{name}") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{kind}/{name}  [{ALL[kind].target(name)}]")
    for section in sections(outline(f"{ALL[kind].target(name)}.Config")):
        for item in section.fields.values():
            assert f"{item.name}: " in text and item.doc.strip().splitlines()[0] in text
    for inner in ("Outline(", "FieldOutline", "typing.", "<class"):
        assert inner not in text


def test_list_prints_every_name_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    list_components("")
    lines = capsys.readouterr().out.splitlines()
    for kind, name in NAMES:
        assert kind in lines
        assert any(
            line.split()[0] == name and docstring(ALL[kind].target(name)).splitlines()[0] in line for line in lines
        )


def example(cls: Any) -> Any:
    """The config with all its defaults; what has none is made up."""
    values: dict[str, Any] = {}
    for name, item in live_outline(cls).fields.items():
        if item.is_required:
            values[name] = example_value(item.slot, item.type)
    return cls(**values)


def example_value(slot: Slot | None, kind: Any) -> Any:
    if slot is not None:
        return example(slot.registry.find(slot.registry.names()[0]).Config)
    if kind in (str, int, float, bool):
        return SAMPLES[kind]
    if typing.get_origin(kind) is dict:
        return {}
    return Constant(1.0)


@every_name
def test_a_config_is_whole_from_its_defaults(kind: str, name: str) -> None:
    registry = ALL[kind]
    config = example(registry.find(name).Config)
    assert registry.name_of(config) == name
    assert isinstance(config, registry.find(name).Config)
    assert dump(config).keys() == {field.name for field in dataclasses.fields(config)}


@every_name
def test_default_components_of_slots_exist_and_need_nothing_more(kind: str, name: str) -> None:
    for section in sections(outline(f"{ALL[kind].target(name)}.Config")):
        for item in section.fields.values():
            if item.slot is not None and not item.is_required and not item.slot.many and item.default != "None":
                default = str(item.default).strip("'")
                assert item.slot.registry.find(default).Config() is not None
