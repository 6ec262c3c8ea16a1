"""Toys with a face: each a function of a look and six proportions in [0, 1]. The face looks to +x."""

from __future__ import annotations

from framework.toybox.colors import Look, between
from framework.toybox.parts import ALONG_X, Part, box, cylinder, frustum, limb, prism, ring, sphere, turn
from framework.toybox.shapes import Proportions


def _eyes(x: float, y: float, z: float, radius: float, look: Look, *, white: bool = True) -> list[Part]:
    """Two eyes that look to the front: white with a black pupil, or plain black."""
    parts = []
    for side in (-1, 1):
        if white:
            parts.append(sphere((x, side * y, z), radius, look.tone("white")))
            parts.append(sphere((x + 0.6 * radius, side * y, z), 0.62 * radius, look.tone("dark")))
        else:
            parts.append(sphere((x, side * y, z), radius, look.tone("dark")))
    return parts


def robot(look: Look, n: Proportions) -> list[Part]:
    """Square body and head, a panel with lights, grey arms and legs, an antenna."""
    width, height, head = between(0.52, 0.64, n[0]), between(0.4, 0.5, n[1]), between(0.28, 0.36, n[2])
    leg = between(0.2, 0.3, n[3])
    neck = height + 0.08
    parts = [
        box((0, 0, 0), (0.38, width, height), look.main, rounding=0.04),
        box((0, 0, neck + head), (head, head + 0.1, head), look.main, rounding=0.04),
        cylinder((0, 0, height + 0.05), 0.14, 0.1, look.tone("iron")),
        box((0.38, 0, 0.05), (0.04, 0.62 * width, 0.5 * height), look.tone("white")),
        sphere((0.42, 0.3 * width, 0.15), 0.09, look.tone("signal")),
        sphere((0.42, -0.3 * width, 0.15), 0.09, look.tone("leaf")),
        box((0.41, 0, -0.08), (0.04, 0.42 * width, 0.05), look.tone("dark")),
        box((head, 0, neck + 0.55 * head), (0.03, 0.6 * head, 0.05), look.tone("dark")),
        cylinder((0, 0, neck + 2 * head + 0.1), 0.04, 0.14, look.tone("iron")),
        sphere((0, 0, neck + 2 * head + 0.26), 0.1, look.tone("signal")),
        *_eyes(head, 0.5 * head, neck + 1.25 * head, 0.12, look),
    ]
    for side in (-1, 1):
        shoulder = side * (width + 0.12)
        parts += [
            limb((0, shoulder, 0.6 * height), (0.1, shoulder, -0.35), 0.13, look.tone("steel")),
            sphere((0.12, shoulder, -0.42), 0.17, look.tone("iron")),
            box((0, 0.5 * side * width, -height - leg), (0.18, 0.18, leg + 0.05), look.tone("steel")),
            box((0.08, 0.5 * side * width, -height - 2 * leg), (0.3, 0.22, 0.1), look.tone("iron"), rounding=0.02),
        ]
    return parts


def snowman(look: Look, n: Proportions) -> list[Part]:
    """Three white balls, carrot nose, coal eyes and buttons, stick arms, red scarf, black hat."""
    body, chest, head = between(0.55, 0.64, n[0]), between(0.4, 0.46, n[1]), between(0.29, 0.34, n[2])
    middle = 0.82 * (body + chest)
    top = middle + 0.82 * (chest + head)
    hat = between(0.15, 0.22, n[3])
    white = look.main
    return [
        sphere((0, 0, 0), body, white),
        sphere((0, 0, middle), chest, white),
        sphere((0, 0, top), head, white),
        frustum((head + 0.14, 0, top), 0.09, 0.0, 0.2, look.tone("carrot"), rotation=ALONG_X),
        *_eyes(0.88 * head, 0.13, top + 0.13, 0.06, look, white=False),
        sphere((0.98 * chest, 0, middle + 0.1), 0.07, look.tone("dark")),
        sphere((0.96 * chest, 0, middle - 0.14), 0.07, look.tone("dark")),
        sphere((0.96 * body, 0, 0.12), 0.08, look.tone("dark")),
        ring((0, 0, top - 0.8 * head), 0.74 * head, 0.1, look.tone("signal")),
        limb((0.2, 0.55 * head, top - 0.85 * head), (0.36, 0.5 * head, middle), 0.08, look.tone("signal")),
        cylinder((0, 0, top + 0.8 * head), 0.4, 0.05, look.tone("dark")),
        cylinder((0, 0, top + 0.8 * head + hat), 0.26, hat, look.tone("dark")),
        limb((0, 0.9 * chest, middle), (0.1, 0.95, middle + 0.22), 0.065, look.tone("wood")),
        limb((0, -0.9 * chest, middle), (0.1, -0.95, middle + 0.22), 0.065, look.tone("wood")),
    ]


def bear(look: Look, n: Proportions) -> list[Part]:
    """A sitting teddy: round ears, pale muzzle with a black nose, pale belly and soles."""
    body, head, limb_radius = between(0.44, 0.52, n[0]), between(0.38, 0.44, n[1]), between(0.15, 0.19, n[2])
    top = 0.78 * (body + head)
    pale = look.mixed("cream", 0.75)
    parts = [
        limb((0, 0, -0.1), (0, 0, 0.08), body, look.main),
        sphere((0, 0, top), head, look.main),
        sphere((0.2, 0, -0.02), body - 0.12, pale),
        sphere((0.8 * head, 0, top - 0.12), 0.19, pale),
        sphere((0.8 * head + 0.16, 0, top - 0.06), 0.08, look.tone("dark")),
        *_eyes(0.86 * head, 0.17, top + 0.1, 0.065, look, white=False),
    ]
    for side in (-1, 1):
        ear = (0.0, side * 0.8 * head, top + 0.72 * head)
        foot = (0.66, side * 0.4, -0.4)
        parts += [
            sphere(ear, 0.17, look.main),
            sphere((0.1, ear[1], ear[2]), 0.11, pale),
            limb((0, side * 0.85 * body, 0.2), (0.3, side * (body + 0.18), -0.08), limb_radius, look.main),
            limb((0.1, side * 0.26, -0.4), foot, limb_radius + 0.02, look.main),
            cylinder((0.84, foot[1], foot[2]), 0.12, 0.03, pale, rotation=ALONG_X),
        ]
    return parts


def duck(look: Look, n: Proportions) -> list[Part]:
    """A swimming duck: low body with a raised tail, round head, flat orange bill."""
    length, head, neck = between(0.32, 0.42, n[0]), between(0.32, 0.38, n[1]), between(0.62, 0.72, n[2])
    bill = between(0.15, 0.21, n[3])
    x = length + 0.08
    return [
        limb((-length, 0, 0), (length, 0, -0.02), 0.42, look.main, end_radius=0.48),
        limb((-length - 0.2, 0, 0.08), (-length - 0.6, 0, 0.38), 0.25, look.main, end_radius=0.05),
        limb((x, 0, 0.2), (x, 0, neck), 0.24, look.main),
        sphere((x, 0, neck), head, look.main),
        box((x + head + 0.5 * bill, 0, neck - 0.06), (bill, 0.19, 0.07), look.tone("carrot"), rounding=0.06),
        *_eyes(x + 0.7 * head, 0.6 * head, neck + 0.13, 0.085, look),
        *(
            limb((0.15, side * 0.42, 0.05), (-0.45, side * 0.46, 0.12), 0.17, look.mixed("dark", 0.25), end_radius=0.06)
            for side in (-1, 1)
        ),
    ]


def fish(look: Look, n: Proportions) -> list[Part]:
    """An oval body with two white bands, a broad tail, fins, and eyes near the front."""
    height, tail = between(0.48, 0.56, n[0]), between(0.34, 0.46, n[1])
    fin, band = between(0.2, 0.28, n[2]), between(0.05, 0.08, n[3])
    dark = look.mixed("dark", 0.3)
    point = turn("y", 90)  # triangles widen towards -x
    return [
        limb((0.38, 0, 0), (-0.62, 0, 0), height, look.main, end_radius=0.12),
        limb((0.38, 0, 0), (0.72, 0, 0), height, look.main, end_radius=0.24),
        cylinder((0.24, 0, 0), height + 0.015, band, look.tone("white"), rotation=ALONG_X),
        cylinder((-0.3, 0, 0), 0.62 * height, band, look.tone("white"), rotation=ALONG_X),
        prism((-0.88, 0, 0), tail + 0.08, 0.08, 0.24, 0.1, dark, rotation=point),
        prism((-0.05, 0, height + 0.06), 0.42, 0.16, fin, 0.09, dark),
        prism((-0.05, 0, -0.9 * height), 0.3, 0.3, 0.6 * fin, 0.09, dark),
        *_eyes(0.74, 0.24, 0.15, 0.13, look),
        sphere((0.93, 0, -0.1), 0.08, look.tone("blossom")),
        *(limb((0.2, side * 0.4, -0.12), (-0.12, side * 0.62, -0.2), 0.12, dark, end_radius=0.07) for side in (-1, 1)),
    ]


def penguin(look: Look, n: Proportions) -> list[Part]:
    """Upright and black, white belly and face, orange beak and feet, flippers at the sides."""
    body, head = between(0.46, 0.54, n[0]), between(0.34, 0.4, n[1])
    top = between(0.8, 0.95, n[2])
    parts = [
        limb((0, 0, 0), (0, 0, top), body, look.main, end_radius=head),
        limb((0.17, 0, -0.02), (0.14, 0, 0.5 * top), body - 0.1, look.tone("white"), end_radius=0.28),
        frustum((head + 0.1, 0, top + 0.02), 0.12, 0.02, 0.15, look.tone("carrot"), rotation=ALONG_X),
        *_eyes(0.86 * head, 0.15, top + 0.16, 0.085, look),
    ]
    for side in (-1, 1):
        tip = (0.05, side * (body + 0.26), 0.0)
        parts += [
            limb((0, side * 0.8 * body, 0.55 * top), tip, 0.13, look.main, end_radius=0.07),
            box((0.25, side * 0.24, -body), (0.25, 0.16, 0.06), look.tone("carrot"), rounding=0.05),
        ]
    return parts
