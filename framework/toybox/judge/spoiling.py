"""Scenes and images with the faults of generated objects: what a judge must not take for the real thing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.toybox.parts import Part, sphere, turn
from framework.toybox.scenes import Scene
from framework.toybox.tracing import MAX_PARTS

Draw = Callable[[float | int, float | int], float]
"""A uniform number between two bounds."""

SIDE_DEG = (50.0, 130.0)
"""Azimuths, either way from the front, from where two fronts are seen at once."""


def with_floaters(scene: Scene, draw: Draw) -> Scene:
    """Small balls in the colours of the scene hang about it."""
    count = int(draw(3, 8))
    floaters = [
        sphere((_direction(draw) * draw(0.55, 0.85)).tolist(), draw(0.07, 0.16), _any(scene, draw).color)
        for _ in range(count)
    ]
    return _with_parts(scene, [*scene.parts[: MAX_PARTS - count], *floaters])


def melted(scene: Scene, draw: Draw) -> Scene:
    """Every part is moved, turned and resized by itself, so that nothing fits together; single parts are doubled."""
    parts = scene.parts * 3 if len(scene.parts) == 1 else scene.parts
    return _with_parts(scene, [_jolted(part, draw) for part in parts])


def two_faced(scene: Scene) -> Scene:
    """The front, on both sides."""
    fronts = [part for part in scene.parts if part.center[0] >= -0.02]
    turned = [part.transformed(turn("z", 180), np.zeros(3), 1.0) for part in fronts]
    return _with_parts(scene, [part for pair in zip(fronts, turned, strict=True) for part in pair])


def turned(scene: Scene, degrees: float) -> Scene:
    """The scene, turned about z."""
    rotation = turn("z", degrees)
    return _with_parts(scene, [part.transformed(rotation, np.zeros(3), 1.0) for part in scene.parts])


def merged(scene: Scene, other: Scene) -> Scene:
    """Two scenes in one place."""
    half = MAX_PARTS // 2
    return _with_parts(scene, [*scene.parts[:half], *other.parts[:half]])


def blob(draw: Draw) -> list[Part]:
    """A heap of balls about the origin: what a field looks like before it has become anything."""
    red, green, blue = draw(0, 1), draw(0, 1), draw(0, 1)

    def shade(value: float) -> float:
        return min(max(value + draw(-0.2, 0.2), 0.0), 1.0)

    size = draw(0.25, 0.6)
    return [
        sphere(
            (_direction(draw) * size * draw(0.1, 0.7)).tolist(),
            size * draw(0.3, 0.8),
            (shade(red), shade(green), shade(blue)),
        )
        for _ in range(int(draw(4, 14)))
    ]


def as_noise(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "B H W 3"]:
    """Random colours at random scales."""
    count, height, width, _ = shape
    total = torch.full((count, 3, 1, 1), 0.5)
    for side in (4, 8, 16, 32, height):
        strength = torch.rand(count, 1, 1, 1, generator=generator) ** 2
        coarse = torch.randn(count, 3, side, side, generator=generator)
        total = total + 0.4 * strength * F.interpolate(coarse, size=(height, width), mode="bilinear")
    return total.clamp(0.0, 1.0).permute(0, 2, 3, 1)


def bent(images: Float[Tensor, "B H W 3"], generator: torch.Generator) -> Float[Tensor, "B H W 3"]:
    """Every image drawn on a crumpled sheet: outlines run."""
    count, height, width, _ = images.shape
    shifts = torch.randn(count, 2, 5, 5, generator=generator) * (
        0.12 + 0.12 * torch.rand(count, 1, 1, 1, generator=generator)
    )
    shifts = F.interpolate(shifts, size=(height, width), mode="bicubic").permute(0, 2, 3, 1)
    line = torch.linspace(-1, 1, height)
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([x, y], dim=-1) + shifts
    bent_images = F.grid_sample(images.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=True)
    return bent_images.permute(0, 2, 3, 1)


def _jolted(part: Part, draw: Draw) -> Part:
    """The part, moved by up to a third of the scene and turned by up to 70 degrees about two axes."""
    center = np.asarray(part.center)
    rotation = turn("z", draw(-70, 70)) @ turn("x", draw(-70, 70))
    in_place = part.transformed(np.eye(3), -center, 1.0).transformed(rotation, np.zeros(3), draw(0.6, 1.5))
    return in_place.transformed(np.eye(3), center + _direction(draw) * draw(0.1, 0.35), 1.0)


def _direction(draw: Draw) -> np.ndarray:
    """A unit vector, uniform on the sphere."""
    z, azimuth = draw(-1, 1), draw(-math.pi, math.pi)
    across = math.sqrt(1 - z * z)
    return np.array([across * math.cos(azimuth), across * math.sin(azimuth), z])


def _any(scene: Scene, draw: Draw) -> Part:
    return scene.parts[min(int(draw(0, len(scene.parts))), len(scene.parts) - 1)]


def _with_parts(scene: Scene, parts: list[Part]) -> Scene:
    """The scene with other parts, as many as the renderer takes."""
    return dataclasses.replace(scene, parts=tuple(parts[:MAX_PARTS]))
