"""The shape of a `Config`, read from its source without importing it.

Importing a geometry imports torch, which takes longer than a user should wait to hear of a misspelt key. An `Outline`
therefore comes from the syntax tree of the module: field names, types, defaults, slots and the string under each field.
Classes without a source file (made in a notebook or a test) are read from the live class instead; contract tests hold
the two readings equal for all registered names, and demand the documentation that only source has.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from framework.core.component import Slot
from framework.core.schedule import Schedule

TYPES: dict[str, Any] = {
    **{t.__name__: t for t in (int, float, bool, str, list, dict, tuple)},
    "Any": Any,
    "Literal": Literal,
    "Mapping": Mapping,
    "Schedule": Schedule,
    "None": None,
}


@dataclass(frozen=True)
class FieldOutline:
    """One config field: its type (or the slot that fills it), default as source text, and documentation."""

    name: str
    type: Any
    default: str | None
    doc: str
    slot: Slot | None = None

    @property
    def is_required(self) -> bool:
        return self.default is None


@dataclass(frozen=True)
class Outline:
    """The fields of one config class and where to find the class itself."""

    title: str
    target: str
    doc: str
    fields: dict[str, FieldOutline] = field(default_factory=dict)
    live: type | None = None
    is_nullable: bool = False

    def __or__(self, other: None) -> Outline:
        """The outline of the type `Section | None`."""
        return dataclasses.replace(self, is_nullable=True)

    def make(self, values: Mapping[str, Any]) -> Any:
        """An instance of the class, imported now if need be."""
        return (self.live or resolve(self.target))(**values)


def resolve(target: str) -> Any:
    """The object at `module:Qualified.name`."""
    module, _, path = target.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(module))


@functools.lru_cache(maxsize=None)
def outline(target: str) -> Outline:
    """The outline of the config class at `module:Qualified.name`.

    What source alone cannot tell, such as a slot of an extension's own registry, is read from the live class instead.
    """
    module, _, path = target.partition(":")
    source = _source(module)
    if source is not None and "<locals>" not in path:
        try:
            return _from_source(source, path)
        except (LookupError, AttributeError, NameError, TypeError):
            return live_outline(resolve(target))
    return live_outline(resolve(target))


def docstring(target: str) -> str:
    """The docstring of the class at `module:Qualified.name`, read without importing it where there is a source."""
    module, _, path = target.partition(":")
    source = _source(module)
    if source is not None and "<locals>" not in path:
        return ast.get_docstring(_class_at(source, path)) or ""
    return inspect.getdoc(resolve(target)) or ""


def live_outline(cls: type) -> Outline:
    """The outline of an imported dataclass; default texts are left out but for their presence."""
    fields: dict[str, FieldOutline] = {}
    for item in dataclasses.fields(cls):
        has_default = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
        slot = item.metadata.get("slot")
        kind = None if slot else _live_type(cls, item.name)
        fields[item.name] = FieldOutline(item.name, kind, "..." if has_default else None, "", slot)
    return Outline(cls.__qualname__, f"{cls.__module__}:{cls.__qualname__}", cls.__doc__ or "", fields, live=cls)


def _live_type(cls: type, name: str) -> Any:
    owner = next(base for base in cls.__mro__ if name in base.__dict__.get("__annotations__", {}))
    kind = owner.__dict__["__annotations__"][name]
    if isinstance(kind, str):
        kind = eval(kind, {**vars(sys.modules[owner.__module__])})
    return _as_section(kind)


def _as_section(kind: Any) -> Any:
    if dataclasses.is_dataclass(kind) and not issubclass(typing.cast(type, kind), Schedule):
        return live_outline(typing.cast(type, kind))
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict:
        return dict[arguments[0], _as_section(arguments[1])]  # type: ignore[valid-type,misc]
    if arguments[1:] == (type(None),) and isinstance(_as_section(arguments[0]), Outline):
        return _as_section(arguments[0]) | None
    return kind


@dataclass(frozen=True)
class _Source:
    """A parsed module: its classes by name and the modules that its names come from."""

    module: str
    classes: dict[str, ast.ClassDef]
    imports: dict[str, str]


@functools.lru_cache(maxsize=None)
def _source(module: str) -> _Source | None:
    path = _source_path(module)
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    imports = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    return _Source(module, classes, imports)


def _source_path(module: str) -> Path | None:
    if module in sys.modules:
        name = getattr(sys.modules[module], "__file__", None)
        return Path(name) if name and name.endswith(".py") else None
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _from_source(source: _Source, path: str) -> Outline:
    node = _class_at(source, path)
    fields: dict[str, FieldOutline] = {}
    for base in reversed(node.bases):  # as dataclasses do: of several bases the first one wins
        fields.update(_base_outline(source, ast.unparse(base)).fields)
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            item = _field(source, statement, _doc_string(following))
            fields[item.name] = item
    return Outline(path, f"{source.module}:{path}", ast.get_docstring(node) or "", fields)


def _class_at(source: _Source, path: str) -> ast.ClassDef:
    first, *rest = path.split(".")
    node = source.classes[first]
    for name in rest:
        node = next(child for child in node.body if isinstance(child, ast.ClassDef) and child.name == name)
    return node


def _base_outline(source: _Source, base: str) -> Outline:
    """The outline of the class that `base` names in `source`, such as `Geometry.Config`."""
    first, _, rest = base.partition(".")
    if first in source.classes:
        return _from_source(source, base)
    if first not in source.imports:
        raise LookupError(f"{source.module}: the config base '{base}' is neither defined nor imported there.")
    module, _, name = source.imports[first].partition(":")
    return outline(f"{module}:{name}{'.' + rest if rest else ''}")


def _doc_string(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return ""


def _field(source: _Source, statement: ast.AnnAssign, doc: str) -> FieldOutline:
    name = typing.cast(ast.Name, statement.target).id
    value = statement.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("slot", "slots"):
        return _slot_field(name, value, doc)
    default = None if value is None else _default_text(value)
    return FieldOutline(name, _static_type(source, statement.annotation), default, doc)


def _default_text(value: ast.expr) -> str:
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "dataclasses.field"):
        factory = {keyword.arg: keyword.value for keyword in value.keywords}.get("default_factory")
        if factory is not None:
            return ast.unparse(factory.body) if isinstance(factory, ast.Lambda) else f"{ast.unparse(factory)}()"
    return ast.unparse(value)


def _slot_field(name: str, call: ast.Call, doc: str) -> FieldOutline:
    from framework.core import registries

    registry = getattr(registries, ast.unparse(call.args[0]))
    options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    if typing.cast(ast.Name, call.func).id == "slots":
        return FieldOutline(name, None, "{}", doc, Slot(registry, many=True, single=options.get("single")))
    default = repr(options["default"]) if "default" in options else None
    nullable = options.get("nullable", False) or options.get("default", "") is None
    return FieldOutline(name, None, default, doc, Slot(registry, nullable=nullable, default=options.get("default")))


def _static_type(source: _Source, annotation: ast.expr) -> Any:
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    known = {name: _section(source, name) for name in names - set(TYPES)}
    return eval(compile(ast.Expression(annotation), source.module, "eval"), {**TYPES, **known})


def _section(source: _Source, name: str) -> Outline:
    try:
        return _base_outline(source, name)
    except LookupError as error:
        raise LookupError(f"{source.module}: a config field has the type '{name}', which cannot be read.") from error
