"""Outlines: config classes read from source say what the live classes say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework.core import outline as outlines
from framework.core.config import dump, parse
from framework.core.errors import ConfigError
from framework.core.outline import Outline, docstring, live_outline, outline, resolve
from framework.core.registries import ENCODINGS
from framework.core.schedule import Schedule
from framework.core.yaml_tree import Tree

MODULE = '''
"""A module."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from framework.core.component import Component, slot, slots
from framework.core.registries import ENCODINGS, LOSSES
from framework.core.schedule import Constant, Schedule


@dataclass(kw_only=True, frozen=True)
class Inner:
    size: int = 3
    """Its size."""


class Base(Component):
    """The base."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        first: float
        """Required."""
        second: str = "a"
        """Replaced below."""


class Thing(Base):
    """A thing.

    With more to say.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Base.Config):
        second: Literal["b", "c"] = "b"
        """Now a choice."""
        inner: Inner = field(default_factory=lambda: Inner(size=4))
        """Nested."""
        no_inner: Inner | None = None
        by_name: dict[str, Inner] = dataclasses.field(default_factory=dict)
        pair: tuple[float, float] = (0.0, 1.0)
        many: list[int] | None = None
        rate: Schedule = Constant(1.0)
        maybe: Schedule | None = None
        encoding: Component.Config = slot(ENCODINGS, default="hash-grid")
        other: Component.Config | None = slot(ENCODINGS, default=None)
        third: Component.Config | None = slot(ENCODINGS, default="frequency", nullable=True)
        needed: Component.Config = slot(ENCODINGS)
        losses: dict[str, Component.Config] = slots(LOSSES, single="main")

        def __post_init__(self) -> None:
            pass
'''


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "outlined_module.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "outlined_module:Thing"
    sys.modules.pop("outlined_module", None)
    outlines.outline.cache_clear()
    outlines._source.cache_clear()


def test_a_config_is_read_without_importing_its_module(target: str) -> None:
    shape = outline(f"{target}.Config")
    assert docstring(target).startswith("A thing.\n\nWith more")
    assert "outlined_module" not in sys.modules
    assert list(shape.fields) == [
        "first", "second", "inner", "no_inner", "by_name", "pair", "many", "rate", "maybe",
        "encoding", "other", "third", "needed", "losses",
    ]  # fmt: skip
    assert [name for name, item in shape.fields.items() if item.is_required] == ["first", "needed"]
    assert shape.fields["second"].doc == "Now a choice." and shape.fields["second"].default == "'b'"
    assert shape.fields["inner"].default == "Inner(size=4)" and shape.fields["by_name"].default == "dict()"
    assert isinstance(shape.fields["inner"].type, Outline) and not shape.fields["inner"].type.is_nullable
    assert shape.fields["no_inner"].type == shape.fields["inner"].type | None
    assert shape.fields["inner"].type.fields["size"].doc == "Its size."
    assert shape.fields["rate"].type is Schedule and shape.fields["maybe"].type == (Schedule | None)
    slots = {name: item.slot for name, item in shape.fields.items() if item.slot}
    assert all(slot.registry is ENCODINGS for name, slot in slots.items() if name != "losses")
    assert [name for name, slot in slots.items() if slot.nullable] == ["other", "third"]
    assert slots["losses"].many and slots["losses"].single == "main"


def test_the_source_says_what_the_live_class_says(target: str) -> None:
    static = outline(f"{target}.Config")
    live = live_outline(resolve(f"{target}.Config"))
    assert summary(static) == summary(live)


def test_a_class_made_in_a_function_is_read_alive() -> None:
    from dataclasses import dataclass

    from framework.core.component import Component

    class Local(Component):
        """Local."""

        @dataclass(kw_only=True, frozen=True)
        class Config(Component.Config):
            size: int = 2

    shape = live_outline(Local.Config)
    assert shape.make({"size": 5}).size == 5
    assert shape.fields["size"].type is int and not shape.fields["size"].is_required


UNREADABLE = """
from __future__ import annotations

from dataclasses import dataclass

from framework.core.component import Component, slot
from framework.core.registry import Registry

OWN = Registry("own", base="framework.core.component:Component", builtins={})


@OWN.register("leaf")
class Leaf(Component):
    \"\"\"A leaf.\"\"\"

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        size: int = 1


@dataclass(kw_only=True, frozen=True)
class Inner:
    size: int = 3


@dataclass(kw_only=True, frozen=True)
class Whole:
    leaf: Component.Config = slot(OWN, default="leaf")
    inner: Inner | None = None
"""


def test_what_source_cannot_tell_is_read_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unreadable_module.py").write_text(UNREADABLE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    whole = parse(resolve("unreadable_module:Whole"), Tree({"leaf": {"size": 5}, "inner": {"size": 7}}))
    assert (whole.leaf.size, whole.inner.size) == (5, 7)
    assert parse(type(whole), Tree({"inner": None})).inner is None
    with pytest.raises(ConfigError, match=r"inner.sise: unknown key 'sise' for Inner. Did you mean 'size'\?"):
        parse(type(whole), Tree({"inner": {"sise": 7}}))
    assert dump(whole) == {"leaf": {"type": "leaf", "size": 5}, "inner": {"size": 7}}


def summary(shape: Outline) -> list[object]:
    """All that parsing depends on; defaults by presence alone."""
    return [
        shape.title,
        shape.is_nullable,
        [(i.name, _type(i.type), i.is_required, i.slot) for i in shape.fields.values()],
    ]


def _type(kind: object) -> object:
    import typing

    if isinstance(kind, Outline):
        return summary(kind)
    if typing.get_origin(kind) is dict:
        return ["dict", *(_type(item) for item in typing.get_args(kind))]
    return kind
