"""Registries: what may be registered, and how names are found."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from framework.core.component import Component
from framework.core.registries import ALL, LOSSES
from framework.core.registry import RegistrationError, Registry, UnknownName


class Shape(Component):
    """A shape."""


class Sphere(Shape):
    """A sphere."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        radius: float = 1.0

    def __init__(self, config: Config, *, scale: float) -> None:
        self.config = config
        self.size = config.radius * scale


@pytest.fixture
def shapes() -> Registry[Shape]:
    return Registry("shape", base=f"{__name__}:Shape", builtins={"cube": "nowhere.at_all:Cube"})


def test_a_registered_class_is_found_named_and_built(shapes: Registry[Shape]) -> None:
    assert shapes.register("sphere")(Sphere) is Sphere
    assert shapes.names() == ["cube", "sphere"]
    assert shapes.find("sphere") is Sphere
    assert shapes.name_of(Sphere.Config()) == "sphere"
    sphere = shapes.build(Sphere.Config(radius=2.0), scale=3.0)
    assert isinstance(sphere, Sphere) and sphere.size == 6.0


def test_registering_a_class_again_under_its_name_changes_nothing(shapes: Registry[Shape]) -> None:
    shapes.register("sphere")(Sphere)
    shapes.register("sphere")(Sphere)
    assert shapes.find("sphere") is Sphere


def test_a_name_that_is_taken_is_refused_with_both_places(shapes: Registry[Shape]) -> None:
    with pytest.raises(RegistrationError) as caught:
        shapes.register("cube")(Sphere)
    assert str(caught.value) == f"shape/cube is defined twice: by nowhere.at_all:Cube and by {__name__}:Sphere."


def test_an_unknown_name_is_answered_with_the_closest(shapes: Registry[Shape]) -> None:
    with pytest.raises(UnknownName, match=r"no shape is called 'cubes'. Did you mean 'cube'\?"):
        shapes.find("cubes")
    with pytest.raises(UnknownName, match=r"no shape is called 'x'. Known: cube."):
        shapes.target("x")
    with pytest.raises(UnknownName, match=r"Sphere.Config belongs to no registered shape"):
        shapes.name_of(Sphere.Config())


def test_a_builtin_whose_module_does_not_register_it_is_told_apart_from_an_unknown_name() -> None:
    registry: Registry[Shape] = Registry("shape", base=f"{__name__}:Shape", builtins={"json": "json:Decoder"})
    with pytest.raises(
        RegistrationError, match="json:Decoder is listed as shape/json, but its module does not register"
    ):
        registry.find("json")


class NoShape(Component):
    """Not of the kind."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass


class NoConfig(Shape):
    """Has the base's Config alone."""


class PlainConfig(Shape):
    """Its Config is no dataclass of its own."""

    class Config(Component.Config):
        radius: float = 1.0


class ForeignConfig(Shape):
    """Its Config derives from nothing."""

    @dataclass(kw_only=True, frozen=True)
    class Config:
        radius: float = 1.0


class NotFrozen(Shape):
    """Its Config can be changed."""

    # Not derived from Component.Config, which is frozen: Python would refuse the class itself.
    @dataclass(kw_only=True)
    class Config:
        radius: float = 1.0


class Positional(Shape):
    """Its Config takes values by position."""

    @dataclass(frozen=True)
    class Config(Component.Config):
        radius: float = 1.0


class Undocumented(Shape):
    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (NoShape, "must derive from "),
        (NoConfig, "has no dataclass called Config of its own."),
        (PlainConfig, "has no dataclass called Config of its own."),
        (ForeignConfig, "its Config must derive from Component.Config."),
        (NotFrozen, "its Config must derive from Component.Config."),
        (Positional, "its Config must be @dataclass(kw_only=True, frozen=True)."),
        (Undocumented, "has no docstring; its first line is shown by --list."),
    ],
)
def test_a_class_that_cannot_be_configured_is_refused_at_once(shapes: Registry[Shape], cls: type, message: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        shapes.register("new")(cls)
    assert f"shape/new ({__name__}:{cls.__name__}): {message}" in str(caught.value)
    assert "new" not in shapes.names()


def test_a_registry_serves_its_own_kind_only() -> None:
    with pytest.raises(RegistrationError, match=r"must derive from framework.losses.base:Loss"):
        LOSSES.register("sphere")(Sphere)


def test_kinds_are_singular_and_names_kebab_case() -> None:
    for kind, registry in ALL.items():
        assert kind == registry.kind
        for name in (kind, *registry.names()):
            assert name.replace("-", "").isalnum() and name == name.lower()


def test_knowing_the_names_of_all_components_imports_none_of_them() -> None:
    code = (
        "import sys; from framework.core.registries import ALL\n"
        "names = [name for registry in ALL.values() for name in registry.names()]\n"
        "heavy = {'torch', 'numpy', 'omegaconf', 'diffusers'} & set(sys.modules)\n"
        "sys.exit(f'{heavy}' if heavy or len(names) < 20 else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
