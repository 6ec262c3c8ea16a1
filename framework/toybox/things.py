"""Toys that stand still: each a function of a look and six proportions in [0, 1]. Fronts face +x."""

from __future__ import annotations

import math

from framework.toybox.colors import Look, between
from framework.toybox.parts import ALONG_X, Part, box, cylinder, dome, frustum, limb, prism, sphere, turn
from framework.toybox.shapes import Proportions


def mushroom(look: Look, n: Proportions) -> list[Part]:
    """A coloured cap with white dots on a pale stem."""
    cap, cut = between(0.85, 1.0, n[0]), between(0.0, 0.25, n[1])
    stem, height = between(0.26, 0.36, n[2]), between(0.42, 0.55, n[3])
    dots = [(90, 0)] + [(38, angle) for angle in range(0, 360, 72)]
    parts = [
        dome((0, 0, -cut), cap, cut, look.main, rounding=0.05),
        cylinder((0, 0, -0.06), 0.82 * cap, 0.06, look.tone("cream")),
        frustum((0, 0, -height), 1.25 * stem, stem, height, look.tone("cream"), rounding=0.08),
    ]
    for elevation, azimuth in dots:
        e, a = math.radians(elevation), math.radians(azimuth)
        x, y, z = cap * math.cos(e) * math.cos(a), cap * math.cos(e) * math.sin(a), cap * math.sin(e)
        parts.append(sphere((0.93 * x, 0.93 * y, 0.93 * z - cut), 0.17 * cap, look.tone("white")))
    return parts


def house(look: Look, n: Proportions) -> list[Part]:
    """Walls under a dark gable roof, a door and two windows in front, windows at the sides, a chimney."""
    depth, width, height = between(0.6, 0.75, n[0]), between(0.62, 0.75, n[1]), between(0.4, 0.5, n[2])
    roof = between(0.24, 0.34, n[3])
    gable = turn("z", 90)  # the triangle faces the front
    parts = [
        box((0, 0, 0), (depth, width, height), look.main),
        prism((0, 0, height + roof), width, 0.0, roof, depth, look.main, rotation=gable),
        box((depth, 0, -0.3 * height), (0.05, 0.16, 0.7 * height), look.tone("wood")),
        sphere((depth + 0.05, 0.09, -0.3 * height), 0.04, look.tone("lamp")),
        box((-0.3, 0.45 * width, height + 1.5 * roof), (0.12, 0.12, 0.32), look.tone("iron")),
    ]
    pitch = math.degrees(math.atan2(2 * roof, width))
    slope = 0.5 * math.hypot(2 * roof, width) + 0.08
    for side in (-1, 1):
        parts += [
            box(
                (0, side * 0.54 * width, height + 0.92 * roof + 0.05),
                (depth + 0.1, slope, 0.07),
                look.tone("roof"),
                rotation=turn("x", -side * pitch),
            ),
            box((depth, side * 0.62 * width, 0.15), (0.04, 0.14, 0.16), look.tone("glass")),
            box((0, side * width, 0.1), (0.3 * depth, 0.04, 0.18), look.tone("glass")),
        ]
    return parts


def tree(look: Look, n: Proportions) -> list[Part]:
    """A fir: three stacked cones on a brown trunk."""
    width, height = between(0.62, 0.75, n[0]), between(0.36, 0.44, n[1])
    step = between(0.42, 0.5, n[2])
    return [
        cylinder((0, 0, -height - 0.2), between(0.14, 0.2, n[3]), 0.28, look.tone("wood")),
        frustum((0, 0, 0), width, 0.12, height, look.main),
        frustum((0, 0, step), 0.8 * width, 0.08, 0.92 * height, look.main),
        frustum((0, 0, 2 * step), 0.58 * width, 0.0, 0.85 * height, look.main),
    ]


def cactus(look: Look, n: Proportions) -> list[Part]:
    """A green column with two bent arms and a pink blossom, in a clay pot."""
    radius, height = between(0.22, 0.28, n[0]), between(1.0, 1.2, n[1])
    left, right = between(0.35, 0.5, n[2]), between(0.5, 0.65, n[3])
    parts = [
        limb((0, 0, 0), (0, 0, height), radius, look.main),
        sphere((0.02, 0, height + radius), 0.13, look.tone("blossom")),
        frustum((0, 0, -0.22), 0.34, 0.46, 0.26, look.tone("clay")),
        cylinder((0, 0, 0.04), 0.52, 0.08, look.tone("clay")),
    ]
    for side, at in ((1, left), (-1, right)):
        elbow = (0.0, side * (radius + 0.26), at)
        parts += [
            limb((0, 0, at), elbow, 0.14, look.main),
            limb(elbow, (0.0, elbow[1], at + 0.36), 0.14, look.main),
        ]
    return parts


def lamp(look: Look, n: Proportions) -> list[Part]:
    """A table lamp: coloured shade over a glowing bulb, on a pole with a dark foot."""
    bottom, top = between(0.62, 0.75, n[0]), between(0.3, 0.42, n[1])
    shade, pole = between(0.32, 0.4, n[2]), between(0.45, 0.6, n[3])
    return [
        frustum((0, 0, shade), bottom, top, shade, look.main),
        sphere((0, 0, -0.02), 0.22, look.tone("lamp")),
        cylinder((0, 0, -pole), 0.1, pole, look.tone("steel")),
        frustum((0, 0, -2 * pole), 0.46, 0.36, 0.09, look.tone("iron"), rounding=0.03),
    ]


def castle(look: Look, n: Proportions) -> list[Part]:
    """Four round towers with pointed roofs, walls with battlements, a keep, a dark gate in front."""
    half, wall, tower = between(0.55, 0.65, n[0]), between(0.3, 0.38, n[1]), between(0.2, 0.25, n[2])
    height, roof = between(0.48, 0.58, n[3]), between(0.2, 0.28, n[4])
    parts = [
        box((0, 0, 0), (half, half, wall), look.main),
        box((half, 0, -0.35 * wall), (0.05, 0.17, 0.65 * wall), look.tone("wood")),
        cylinder((half, 0, 0.3 * wall), 0.17, 0.05, look.tone("wood"), rotation=ALONG_X),
        box((0, 0, wall + 0.15), (0.26, 0.26, 0.3), look.main),
        frustum((0, 0, wall + 0.45 + roof), 0.36, 0.0, roof, look.tone("slate")),
    ]
    for x in (-half, half):
        parts += [box((x, y, wall), (0.07, 0.09, 0.1), look.main) for y in (-0.22, 0.0, 0.22)]
        for y in (-half, half):
            parts += [
                cylinder((x, y, height - wall), tower, height, look.main),
                frustum((x, y, 2 * height - wall + roof), tower + 0.06, 0.0, roof, look.tone("slate")),
            ]
    return parts


def flower(look: Look, n: Proportions) -> list[Part]:
    """Six petals about a yellow heart that looks to the front, a green stem with two leaves."""
    reach, petal = between(0.4, 0.48, n[0]), between(0.22, 0.27, n[1])
    stem = between(0.95, 1.15, n[2])
    parts = [
        cylinder((0.1, 0, 0), 0.27, 0.12, look.tone("lamp"), rounding=0.1, rotation=ALONG_X),
        cylinder((-0.12, 0, 0), 0.25, 0.06, look.tone("leaf"), rounding=0.04, rotation=ALONG_X),
        limb((-0.06, 0, -0.2), (-0.06, 0, -stem), 0.09, look.tone("leaf")),
        cylinder((-0.06, 0, -stem), 0.26, 0.07, look.tone("leaf"), rounding=0.05),
    ]
    for index in range(6):
        angle = math.radians(60 * index + 30)
        y, z = math.cos(angle), math.sin(angle)
        parts.append(limb((0, 0.2 * y, 0.2 * z), (0, reach * y, reach * z), 0.13, look.main, end_radius=petal))
    for side in (-1, 1):
        base = 0.75 * stem
        parts.append(
            limb(
                (-0.06, side * 0.08, -base), (-0.04, side * 0.42, 0.24 - base), 0.07, look.tone("leaf"), end_radius=0.15
            )
        )
    return parts
