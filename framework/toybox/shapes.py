"""The single shapes: each a function of a look and six proportions in [0, 1], in units of its own (see `families`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from framework.toybox.colors import Look, between
from framework.toybox.parts import (
    ALONG_X,
    Part,
    bowl,
    box,
    cylinder,
    frustum,
    heart,
    limb,
    pyramid,
    ring,
    sphere,
    star,
    tube,
    turn,
)

Proportions = Sequence[float]


def cube(look: Look, n: Proportions) -> list[Part]:
    """Nearly equal sides, edges sharp to slightly rounded."""
    half = (1.0, between(0.92, 1.08, n[0]), between(0.92, 1.08, n[1]))
    return [box((0, 0, 0), half, look.main, rounding=between(0.0, 0.12, n[2]))]


def ball(look: Look, n: Proportions) -> list[Part]:
    """A sphere; it has no proportions."""
    return [sphere((0, 0, 0), 1.0, look.main)]


def cylinder_shape(look: Look, n: Proportions) -> list[Part]:
    """Upright, from a little taller than wide to twice as tall."""
    return [cylinder((0, 0, 0), 1.0, between(1.1, 1.9, n[0]), look.main, rounding=between(0.0, 0.1, n[1]))]


def cone(look: Look, n: Proportions) -> list[Part]:
    """Upright, pointed."""
    return [frustum((0, 0, 0), 1.0, 0.0, between(0.9, 1.5, n[0]), look.main)]


def pyramid_shape(look: Look, n: Proportions) -> list[Part]:
    """Four-sided, pointed."""
    return [pyramid((0, 0, 0), 1.0, 0.0, between(0.65, 1.0, n[0]), look.main)]


def ring_shape(look: Look, n: Proportions) -> list[Part]:
    """Stands upright and shows its hole to the front."""
    return [ring((0, 0, 0), 1.0, between(0.2, 0.38, n[0]), look.main, rotation=ALONG_X)]


def capsule(look: Look, n: Proportions) -> list[Part]:
    """Upright, with round ends."""
    half = between(0.9, 1.6, n[0])
    return [limb((0, 0, -half), (0, 0, half), 0.85, look.main)]


def star_shape(look: Look, n: Proportions) -> list[Part]:
    """Stands on two tips and faces the front."""
    return [star((0, 0, 0), 1.0, between(0.42, 0.52, n[0]), between(0.16, 0.3, n[1]), look.main, rounding=0.03)]


def heart_shape(look: Look, n: Proportions) -> list[Part]:
    """Stands on its point and faces the front."""
    return [heart((0, 0, 0), 1.0, between(0.2, 0.36, n[0]), look.main, rounding=between(0.04, 0.12, n[1]))]


def cross(look: Look, n: Proportions) -> list[Part]:
    """An upright plus sign that faces the front."""
    width, depth = between(0.26, 0.38, n[0]), between(0.2, 0.34, n[1])
    return [box((0, 0, 0), (depth, 1.0, width), look.main), box((0, 0, 0), (depth, width, 1.0), look.main)]


def table(look: Look, n: Proportions) -> list[Part]:
    """A slab on four legs."""
    length, width, height = 1.0, between(0.65, 0.95, n[0]), between(0.5, 0.75, n[1])
    leg, slab = between(0.09, 0.14, n[2]), between(0.08, 0.13, n[3])
    legs = [
        box((x * (width - leg), y * (length - leg), -slab), (leg, leg, height), look.main)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    return [box((0, 0, height), (width, length, slab), look.main), *legs]


def chair(look: Look, n: Proportions) -> list[Part]:
    """Seat, four legs, and a back rest behind."""
    width, seat, back = 0.62, between(0.5, 0.65, n[0]), between(0.8, 1.1, n[1])
    leg, slab = between(0.09, 0.13, n[2]), between(0.08, 0.12, n[3])
    legs = [
        box((x * (width - leg), y * (width - leg), 0.5 * seat), (leg, leg, 0.5 * seat), look.main)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    rest = box((slab - width, 0, seat + 0.5 * back), (slab, width, 0.5 * back), look.main)
    return [box((0, 0, seat), (width, width, slab), look.main), rest, *legs]


def mug(look: Look, n: Proportions) -> list[Part]:
    """A hollow cylinder with a bottom and a handle at the side."""
    height, wall = between(0.8, 1.05, n[0]), between(0.08, 0.12, n[1])
    grip = between(0.45, 0.58, n[2])
    return [
        tube((0, 0, 0), 0.8, wall, height, look.main, rounding=0.03),
        cylinder((0, 0, 0.1 - height), 0.78, 0.1, look.main),
        ring(
            (0, 0.8 - wall, 0),
            grip,
            between(0.1, 0.14, n[3]),
            look.main,
            half_angle=0.5 * math.pi,
            rotation=turn("z", 90) @ turn("x", 90),
        ),
    ]


def bowl_shape(look: Look, n: Proportions) -> list[Part]:
    """A shell, open above, on a foot."""
    rim, wall = between(-0.2, 0.1, n[0]), between(0.06, 0.1, n[1])
    return [
        bowl((0, 0, 0), 1.0, rim, wall, look.main),
        cylinder((0, 0, -1.0), between(0.4, 0.55, n[2]), 0.14, look.main),
    ]
