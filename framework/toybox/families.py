"""The table of all objects: what builds them, which way they may turn, how large they are, and their colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from framework.toybox import creatures, shapes, things, vehicles
from framework.toybox.colors import Look
from framework.toybox.parts import Part
from framework.toybox.shapes import Proportions

NUM_PROPORTIONS = 6
"""Nuisances that every object has for its proportions; some objects leave the last ones unused."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One word for an object, and its generator.

    Attributes:
        name: The noun of the caption.
        parts: Builds the object from a look and `NUM_PROPORTIONS` values in [0, 1].
        is_toy: A composite toy; otherwise a single shape.
        has_front: Front and back differ; then +x is its front.
        max_yaw_deg: How far the generator turns it about z, either way.
        radius: Range of its radius in a scene of its own, in units of the unit ball.
        typical_color: Usual colour where the caption names none.
        is_colored: Captions may name a colour; otherwise it always has its typical colour.
    """

    name: str
    parts: Callable[[Look, Proportions], list[Part]]
    is_toy: bool
    has_front: bool
    max_yaw_deg: float
    radius: tuple[float, float] = (0.7, 0.8)
    typical_color: str
    is_colored: bool = True


def _shape(
    name: str,
    parts: Callable[[Look, Proportions], list[Part]],
    typical_color: str,
    *,
    has_front: bool = False,
    radius: tuple[float, float] = (0.7, 0.8),
) -> Family:
    return Family(
        name=name,
        parts=parts,
        is_toy=False,
        has_front=has_front,
        max_yaw_deg=10.0,
        radius=radius,
        typical_color=typical_color,
    )


def _toy(
    name: str,
    parts: Callable[[Look, Proportions], list[Part]],
    typical_color: str,
    *,
    has_front: bool = True,
    max_yaw_deg: float = 5.0,
    is_colored: bool = True,
) -> Family:
    return Family(
        name=name,
        parts=parts,
        is_toy=True,
        has_front=has_front,
        max_yaw_deg=max_yaw_deg,
        typical_color=typical_color,
        is_colored=is_colored,
    )


_ALL = (
    _shape("cube", shapes.cube, "red"),
    _shape("sphere", shapes.ball, "blue", radius=(0.55, 0.68)),
    _shape("cylinder", shapes.cylinder_shape, "green"),
    _shape("cone", shapes.cone, "orange"),
    _shape("pyramid", shapes.pyramid_shape, "yellow"),
    _shape("ring", shapes.ring_shape, "purple"),
    _shape("capsule", shapes.capsule, "pink"),
    _shape("star", shapes.star_shape, "yellow"),
    _shape("heart", shapes.heart_shape, "red"),
    _shape("cross", shapes.cross, "white"),
    _shape("table", shapes.table, "brown"),
    _shape("chair", shapes.chair, "brown", has_front=True),
    _shape("mug", shapes.mug, "white"),
    _shape("bowl", shapes.bowl_shape, "cyan"),
    _toy("car", vehicles.car, "red"),
    _toy("train", vehicles.train, "blue"),
    _toy("rocket", vehicles.rocket, "red"),
    _toy("boat", vehicles.boat, "blue"),
    _toy("airplane", vehicles.airplane, "cyan"),
    _toy("robot", creatures.robot, "gray"),
    _toy("snowman", creatures.snowman, "white", is_colored=False),
    _toy("bear", creatures.bear, "brown"),
    _toy("duck", creatures.duck, "yellow"),
    _toy("fish", creatures.fish, "orange"),
    _toy("penguin", creatures.penguin, "black", is_colored=False),
    _toy("mushroom", things.mushroom, "red", has_front=False, max_yaw_deg=180.0),
    _toy("house", things.house, "yellow"),
    _toy("tree", things.tree, "green", has_front=False, max_yaw_deg=180.0, is_colored=False),
    _toy("cactus", things.cactus, "green", has_front=False, is_colored=False),
    _toy("lamp", things.lamp, "orange", has_front=False, max_yaw_deg=180.0),
    _toy("castle", things.castle, "gray"),
    _toy("flower", things.flower, "pink"),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
SHAPES: tuple[str, ...] = tuple(family.name for family in _ALL if not family.is_toy)
TOYS: tuple[str, ...] = tuple(family.name for family in _ALL if family.is_toy)

PAIR_SHAPES: tuple[str, ...] = ("cube", "sphere", "cylinder", "cone", "pyramid", "ring", "capsule")
"""Shapes that occur in relations of two objects."""
SUPPORTS: tuple[str, ...] = ("cube", "sphere", "cylinder")
"""Shapes that another may stand on top of."""

ON_TOP, NEXT_TO = "on top of", "next to"
RELATIONS: tuple[str, ...] = (ON_TOP, NEXT_TO)
