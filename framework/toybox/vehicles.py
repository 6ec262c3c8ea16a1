"""Toys that go: each a function of a look and six proportions in [0, 1]. The front faces +x."""

from __future__ import annotations

from framework.toybox.colors import Look, between
from framework.toybox.parts import (
    ALONG_X,
    ALONG_Y,
    RGB,
    Part,
    Vector,
    box,
    cylinder,
    frustum,
    limb,
    prism,
    sphere,
    turn,
)
from framework.toybox.shapes import Proportions


def wheel(center: Vector, radius: float, half: float, look: Look) -> list[Part]:
    """A dark tyre with a light hub that shows on both sides."""
    return [
        cylinder(center, radius, half, look.tone("dark"), rotation=ALONG_Y),
        cylinder(center, 0.5 * radius, half + 0.03, look.tone("steel"), rotation=ALONG_Y),
    ]


def _lights(x: float, y: float, z: float, radius: float, color: RGB) -> list[Part]:
    return [cylinder((x, side * y, z), radius, 0.05, color, rotation=ALONG_X) for side in (-1, 1)]


def car(look: Look, n: Proportions) -> list[Part]:
    """Body, glass cabin with a roof, four wheels, yellow headlights and red tail lights."""
    length, height, cabin = between(0.95, 1.15, n[0]), between(0.2, 0.27, n[1]), between(0.22, 0.3, n[2])
    radius, floor = between(0.25, 0.31, n[3]), 0.22
    top = floor + 2 * height
    axle = 0.6 * length
    return [
        box((0, 0, floor + height), (length, 0.52, height), look.main, rounding=0.1),
        prism((-0.12, 0, top + cabin), 0.62, 0.42, cabin, 0.43, look.tone("glass")),
        box((-0.12, 0, top + 2 * cabin), (0.46, 0.45, 0.07), look.main, rounding=0.03),
        box((-0.12, 0, top + cabin), (0.06, 0.44, cabin), look.main),
        *(part for x in (-axle, axle) for y in (-0.5, 0.5) for part in wheel((x, y, 0.22), radius, 0.11, look)),
        *_lights(length, 0.34, floor + 1.2 * height, 0.13, look.tone("lamp")),
        *_lights(-length, 0.36, floor + 1.2 * height, 0.1, look.tone("signal")),
        box((length, 0, floor + 0.35 * height), (0.06, 0.42, 0.08), look.tone("steel")),
    ]


def train(look: Look, n: Proportions) -> list[Part]:
    """A steam engine: boiler with a dark front, chimney, cabin behind, three wheels a side."""
    boiler, cabin = between(0.34, 0.42, n[0]), between(0.26, 0.36, n[1])
    chimney, deck = between(0.2, 0.3, n[2]), 0.3
    roof = deck + 2 * boiler + 0.35
    middle = 0.5 * (deck + roof)
    return [
        box((0, 0, deck), (1.05, 0.42, 0.1), look.tone("iron")),
        cylinder((0.25, 0, deck + boiler), boiler, 0.72, look.main, rotation=ALONG_X),
        cylinder((0.97, 0, deck + boiler), boiler * 0.92, 0.06, look.tone("dark"), rotation=ALONG_X),
        cylinder((1.04, 0, deck + boiler), 0.15, 0.06, look.tone("lamp"), rotation=ALONG_X),
        frustum((0.7, 0, deck + 2 * boiler + chimney), 0.12, 0.2, chimney, look.tone("dark")),
        sphere((0.2, 0, deck + 2 * boiler), 0.17, look.tone("lamp")),
        box((cabin - 1.02, 0, middle), (cabin, 0.46, 0.5 * (roof - deck)), look.main),
        box((cabin - 1.02, 0, roof - 0.3), (0.55 * cabin, 0.49, 0.15), look.tone("glass")),
        box((cabin - 1.02, 0, roof), (cabin + 0.1, 0.54, 0.07), look.tone("dark")),
        *(part for x in (-0.65, 0.05, 0.7) for y in (-0.4, 0.4) for part in wheel((x, y, 0.13), 0.25, 0.09, look)),
        prism((1.05, 0, 0.12), 0.4, 0.12, 0.14, 0.12, look.tone("signal"), rotation=turn("z", 90)),
    ]


def rocket(look: Look, n: Proportions) -> list[Part]:
    """An upright body with a white nose, a round window in front, four fins and a flame."""
    radius, half, nose = between(0.42, 0.52, n[0]), between(0.6, 0.75, n[1]), between(0.26, 0.36, n[2])
    fin = between(0.22, 0.32, n[3])
    fins = [
        prism((0, 0, 0.1 - half), radius + 2 * fin, radius, 0.34, 0.09, look.tone("iron"), rotation=turn("z", angle))
        for angle in (45, 135)
    ]
    return [
        cylinder((0, 0, 0), radius, half, look.main),
        frustum((0, 0, half + nose), radius, 0.04, nose, look.tone("white"), rounding=0.03),
        cylinder((radius, 0, 0.25), 0.22, 0.07, look.tone("steel"), rotation=ALONG_X),
        cylinder((radius + 0.02, 0, 0.25), 0.15, 0.08, look.tone("glass"), rotation=ALONG_X),
        *fins,
        frustum((0, 0, -half - 0.08), 0.3, 0.2, 0.1, look.tone("dark")),
        frustum((0, 0, -half - 0.38), 0.05, 0.22, 0.22, look.tone("carrot"), rounding=0.04),
    ]


def boat(look: Look, n: Proportions) -> list[Part]:
    """A hull with a pointed bow and a wooden deck, a mast, and a white sail with a red flag."""
    width, height = between(0.48, 0.58, n[0]), between(0.28, 0.36, n[1])
    mast, sail = between(0.62, 0.76, n[2]), between(0.55, 0.68, n[3])
    bow = turn("y", 90) @ turn("z", 90)  # the triangle lies flat and points to +x
    return [
        box((-0.35, 0, 0), (0.65, width, height), look.main),
        prism((0.65, 0, 0), width, 0.0, 0.36, height, look.main, rotation=bow),
        box((-0.3, 0, height), (0.55, width - 0.08, 0.05), look.tone("wood")),
        box((-0.62, 0, height + 0.1), (0.22, 0.7 * width, 0.14), look.tone("white")),
        cylinder((0.1, 0, height + mast), 0.08, mast, look.tone("wood")),
        prism((-0.05, 0, height + 1.05 * mast), sail, 0.0, 0.82 * mast, 0.1, look.tone("white")),
        box((-0.08, 0, height + 2 * mast), (0.2, 0.06, 0.11), look.tone("signal")),
    ]


def airplane(look: Look, n: Proportions) -> list[Part]:
    """A fuselage with broad wings, a tail, a cockpit and a propeller in front."""
    radius, span = between(0.27, 0.33, n[0]), between(0.88, 1.04, n[1])
    chord, tail = between(0.2, 0.27, n[2]), between(0.26, 0.34, n[3])
    return [
        limb((0.65, 0, 0), (-0.95, 0, 0.1), radius, look.main, end_radius=0.12),
        box((0.15, 0, -0.02), (chord, span, 0.08), look.main, rounding=0.06),
        box((0.15, 0.82 * span, -0.02), (chord + 0.02, 0.1, 0.1), look.tone("white"), rounding=0.03),
        box((0.15, -0.82 * span, -0.02), (chord + 0.02, 0.1, 0.1), look.tone("white"), rounding=0.03),
        box((-0.95, 0, 0.12), (0.15, 0.42, 0.07), look.main, rounding=0.05),
        prism((-0.95, 0, 0.16 + tail), 0.22, 0.12, tail, 0.08, look.tone("white")),
        limb((0.4, 0, radius), (0.12, 0, radius), 0.15, look.tone("glass"), end_radius=0.12),
        sphere((0.96, 0, 0), 0.14, look.tone("signal")),
        box((0.96, 0, 0), (0.05, 0.46, 0.09), look.tone("dark"), rotation=turn("x", 35)),
        *(part for y in (-0.28, 0.28) for part in wheel((0.35, y, -0.42), 0.16, 0.08, look)),
        box((0.35, 0, -0.3), (0.05, 0.26, 0.12), look.tone("iron")),
    ]
