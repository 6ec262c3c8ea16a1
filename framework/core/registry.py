"""Registries: one per kind of component, from name to class, importing only what is asked for.

Built-ins stand in a table `name -> "module:Class"`, so that names are listed and checked without importing any of them;
extensions add to it with the decorator:

    @GEOMETRIES.register("my-field")
    class MyField(Geometry): ...
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from framework.core.errors import UserError, did_you_mean

T = TypeVar("T")
C = TypeVar("C", bound=type)


class RegistrationError(UserError):
    """A class that may not be registered; the message says what it lacks."""


class UnknownName(UserError):
    """A name that a registry does not hold."""


class Registry(Generic[T]):
    """Components of one kind by name.

    Args:
        kind: What its members are called in messages and in `--describe kind/name`.
        base: `module:Class` that every member derives from.
        builtins: `module:Class` of each member that comes with the project.
        path_type: Name and key that a value with a slash is short for: `prior: runs/x` is
            `prior: {type: pretrained, model: runs/x}` with `("pretrained", "model")`.
        path_names: `module:NAMES` of a mapping whose keys are taken like paths, `prior: sdxl` for instance.
    """

    def __init__(
        self,
        kind: str,
        *,
        base: str,
        builtins: Mapping[str, str],
        path_type: tuple[str, str] | None = None,
        path_names: str | None = None,
    ) -> None:
        self.kind = kind
        self.path_type = path_type
        self._path_names = path_names
        self.base = base
        self._targets = dict(builtins)
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Decorator that adds a class under `name`.

        Raises:
            RegistrationError: If the class is not of this kind, has no frozen keyword-only `Config` of its own, no
                docstring, or the name is taken; both places are named.
        """

        def add(cls: C) -> C:
            self._check(name, cls)
            target = f"{cls.__module__}:{cls.__qualname__}"
            taken = self._targets.get(name)
            if taken is not None and taken != target:
                raise RegistrationError(f"{self.kind}/{name} is defined twice: by {taken} and by {target}.")
            self._targets[name] = target
            self._classes[name] = cls
            return cls

        return add

    def as_path(self, value: str) -> tuple[str, str] | None:
        """`path_type`, if `value` is a path or a name that is taken like one."""
        return self.path_type if "/" in value or value in self.path_names() else None

    def path_names(self) -> list[str]:
        """Names that are taken like paths, sorted."""
        if self._path_names is None:
            return []
        module, _, attribute = self._path_names.partition(":")
        return sorted(getattr(importlib.import_module(module), attribute))

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._targets)

    def target(self, name: str) -> str:
        """`module:Class` of `name`, without importing it.

        Raises:
            UnknownName: With the closest known name.
        """
        if name not in self._targets:
            known = [*self.names(), *self.path_names()]
            raise UnknownName(f"no {self.kind} is called '{name}'.{did_you_mean(name, known)}")
        return self._targets[name]

    def find(self, name: str) -> type[T]:
        """The class called `name`, imported now if it has not been."""
        target = self.target(name)
        if name not in self._classes:
            importlib.import_module(target.partition(":")[0])
        if name not in self._classes:
            raise RegistrationError(f"{target} is listed as {self.kind}/{name}, but its module does not register it.")
        return self._classes[name]

    def name_of(self, config: object) -> str:
        """The name under which the component of `config` is registered."""
        for name, cls in self._classes.items():
            if cls.Config is type(config):  # type: ignore[attr-defined]
                return name
        raise UnknownName(f"{type(config).__qualname__} belongs to no registered {self.kind}.")

    def build(self, config: object, **dependencies: Any) -> T:
        """The component that `config` describes; `dependencies` are its constructor's keyword arguments."""
        return self._classes[self.name_of(config)](config, **dependencies)  # type: ignore[call-arg]

    def _check(self, name: str, cls: type) -> None:
        where = f"{self.kind}/{name} ({cls.__module__}:{cls.__qualname__})"
        module, _, attribute = self.base.partition(":")
        base = getattr(importlib.import_module(module), attribute)
        if not issubclass(cls, base):
            raise RegistrationError(f"{where}: must derive from {self.base}.")
        config = cls.__dict__.get("Config")
        if config is None or "__dataclass_params__" not in vars(config):
            raise RegistrationError(f"{where}: has no dataclass called Config of its own.")
        if not issubclass(config, base.Config):
            raise RegistrationError(f"{where}: its Config must derive from {base.Config.__qualname__}.")
        options = config.__dataclass_params__
        if not options.frozen or not all(field.kw_only for field in dataclasses.fields(config)):
            raise RegistrationError(f"{where}: its Config must be @dataclass(kw_only=True, frozen=True).")
        if not (cls.__doc__ or "").strip() or cls.__doc__ == base.__doc__:
            raise RegistrationError(f"{where}: has no docstring; its first line is shown by --list.")
