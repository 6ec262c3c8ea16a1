"""What registered classes share: a nested frozen `Config`, and fields of it that other components fill."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from framework.core.registry import Registry

_NO_DEFAULT: Any = object()


class Component:
    """Base of everything a registry holds: built from a frozen `Config`, kept as `self.config`."""

    @dataclass(kw_only=True, frozen=True)
    class Config:
        """Settings; the string under a field documents it."""


@dataclass(frozen=True)
class Slot:
    """Metadata of a config field that a registry fills.

    Attributes:
        registry: Where its `type:` is looked up.
        many: Whether the field maps names to components.
        single: For `many`: a mapping with a `type` is one component under this name. Without it an entry that gives no
            `type` is of the type that its own key names.
        nullable: Whether `null` leaves it empty.
        default: Name of the component that a mapping without a `type` configures.
    """

    registry: Registry[Any]
    many: bool = False
    single: str | None = None
    nullable: bool = False
    default: str | None = None


def slot(registry: Registry[Any], *, default: str | None = _NO_DEFAULT, nullable: bool = False) -> Any:
    """A config field that holds one component of `registry`, chosen by the YAML's `type:` key.

    Args:
        registry: Where names are looked up.
        default: Name of the component where the YAML names none, settings or not; None leaves the field empty.
        nullable: Whether the YAML may say `null` to leave it empty; implied by a default of None.
    """
    is_required = default is _NO_DEFAULT
    name = None if is_required else default
    metadata = {"slot": Slot(registry, nullable=nullable or default is None, default=name)}
    if is_required:
        return dataclasses.field(metadata=metadata)
    if name is None:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(default_factory=lambda: registry.find(name).Config(), metadata=metadata)


def slots(registry: Registry[Any], *, single: str | None = None) -> Any:
    """A config field that maps names to components of `registry`; empty by default."""
    return dataclasses.field(default_factory=dict, metadata={"slot": Slot(registry, many=True, single=single)})
