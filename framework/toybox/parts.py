"""Parts: coloured solids in place, as plain Python values, and the constructors that shapes and toys are written in.

x is forward, y left, z up. Lengths are half lengths, as in `primitives`. Nothing here is a tensor: a scene has a dozen
parts, and building them in Python costs less than a dozen tensor operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from framework.toybox.primitives import Kind

RGB = tuple[float, float, float]
Vector = Sequence[float | int]
"""Three coordinates; runtime type checks do not take an int for a float."""

UPRIGHT = np.eye(3)
ALONG_X = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Local axes x, y, z lie along world y, z, x: a solid about z lies along x, a figure in xy faces the front."""
ALONG_Y = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""Local axes x, y, z lie along world z, x, y: a solid about z lies along y."""


@dataclass(frozen=True)
class Part:
    """One solid.

    Attributes:
        kind: Which solid.
        parameters: Its four lengths and its rounding (see `primitives`).
        center: Where its local origin lies.
        rotation: World from local axes (3, 3).
        color: Albedo, sRGB values in [0, 1].
    """

    kind: Kind
    parameters: tuple[float, float, float, float, float]
    center: tuple[float, float, float]
    rotation: np.ndarray
    color: RGB

    def transformed(self, rotation: np.ndarray, shift: np.ndarray, scale: float) -> Part:
        """The part moved by x -> rotation (scale x + shift)."""
        a, b, c, d, rounding = self.parameters
        if self.kind is Kind.ARC:  # the angle of an arc is no length
            parameters = (a * scale, b, c, d, rounding * scale)
        else:
            parameters = (a * scale, b * scale, c * scale, d * scale, rounding * scale)
        x, y, z = rotation @ (np.asarray(self.center) * scale + shift)
        return replace(
            self, parameters=parameters, center=(float(x), float(y), float(z)), rotation=rotation @ self.rotation
        )


def turn(axis: str, degrees: float | int) -> np.ndarray:
    """Right-handed rotation about the axis 'x', 'y' or 'z'."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    match axis:
        case "x":
            return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        case "y":
            return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        case "z":
            return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    raise ValueError(f"turn: axis must be 'x', 'y' or 'z', got {axis!r}.")


def _part(kind: Kind, lengths: Vector, center: Vector, rotation: np.ndarray, color: RGB) -> Part:
    a, b, c, d, rounding = map(float, lengths)
    x, y, z = map(float, center)
    return Part(kind, (a, b, c, d, rounding), (x, y, z), rotation, color)


def box(center: Vector, half: Vector, color: RGB, *, rounding: float = 0.0, rotation: np.ndarray = UPRIGHT) -> Part:
    """A box of the outer half lengths `half`."""
    x, y, z = (length - rounding for length in half)
    return _part(Kind.BOX, (x, y, z, 0.0, rounding), center, rotation, color)


def sphere(center: Vector, radius: float, color: RGB) -> Part:
    """A ball."""
    return _part(Kind.ROUND_CONE, (radius, radius, 0.0, 0.0, 0.0), center, UPRIGHT, color)


def cylinder(
    center: Vector, radius: float, half: float, color: RGB, *, rounding: float = 0.0, rotation: np.ndarray = UPRIGHT
) -> Part:
    """A cylinder about its local z, of outer radius and half height."""
    return frustum(center, radius, radius, half, color, rounding=rounding, rotation=rotation)


def frustum(
    center: Vector,
    bottom: float,
    top: float,
    half: float,
    color: RGB,
    *,
    rounding: float = 0.0,
    rotation: np.ndarray = UPRIGHT,
) -> Part:
    """A cone (top 0) or the part of one between two radii, about its local z."""
    lengths = (max(bottom - rounding, 0.0), max(top - rounding, 0.0), half - rounding, 0.0, rounding)
    return _part(Kind.FRUSTUM, lengths, center, rotation, color)


def limb(start: Vector, end: Vector, radius: float, color: RGB, *, end_radius: float | None = None) -> Part:
    """A capsule from `start` to `end`, tapered to `end_radius` where that is given."""
    first, last = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    axis = last - first
    length = float(np.linalg.norm(axis))
    end_radius = radius if end_radius is None else end_radius
    lengths = (radius, end_radius, 0.5 * length, 0.0, 0.0)
    return _part(Kind.ROUND_CONE, lengths, tuple(0.5 * (first + last)), pointing(axis / length), color)


def pointing(direction: np.ndarray) -> np.ndarray:
    """A rotation whose local z is the unit vector `direction`."""
    other = np.array([1.0, 0.0, 0.0]) if abs(direction[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    x = np.cross(other, direction)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(direction, x), direction], axis=1)


def ring(
    center: Vector,
    radius: float,
    wire: float,
    color: RGB,
    *,
    half_angle: float = math.pi,
    rotation: np.ndarray = UPRIGHT,
) -> Part:
    """A torus about its local z, or the arc of one within `half_angle` (radians) of its local +x."""
    lengths = (radius, math.sin(half_angle), math.cos(half_angle), 0.0, wire)
    return _part(Kind.ARC, lengths, center, rotation, color)


def tube(center: Vector, radius: float, wall: float, half: float, color: RGB, *, rounding: float = 0.0) -> Part:
    """An upright hollow cylinder: outer radius, half thickness of the wall, half height."""
    lengths = (radius - wall, wall - rounding, half - rounding, 0.0, rounding)
    return _part(Kind.TUBE, lengths, center, UPRIGHT, color)


def prism(
    center: Vector, bottom: float, top: float, half: float, depth: float, color: RGB, *, rotation: np.ndarray = UPRIGHT
) -> Part:
    """A trapezoid in the local xz plane (half widths, half height), extruded along y by +-depth."""
    return _part(Kind.PRISM, (bottom, top, half, depth, 0.0), center, rotation, color)


def pyramid(center: Vector, bottom: float, top: float, half: float, color: RGB) -> Part:
    """A square pyramid, cut off where top > 0."""
    return _part(Kind.PYRAMID, (bottom, top, half, 0.0, 0.0), center, UPRIGHT, color)


def bowl(center: Vector, radius: float, rim: float, wall: float, color: RGB) -> Part:
    """The shell of a sphere below the height `rim`, of half thickness `wall`."""
    return _part(Kind.BOWL, (radius, rim, 0.0, 0.0, wall), center, UPRIGHT, color)


def dome(center: Vector, radius: float, cut: float, color: RGB, *, rounding: float = 0.0) -> Part:
    """The part of a ball above the height `cut`."""
    return _part(Kind.DOME, (radius - rounding, cut, 0.0, 0.0, rounding), center, UPRIGHT, color)


def star(center: Vector, outer: float, inner: float, depth: float, color: RGB, *, rounding: float = 0.0) -> Part:
    """A five-pointed star that stands on two tips and faces the front."""
    lengths = (outer - rounding, inner - rounding, depth - rounding, 0.0, rounding)
    return _part(Kind.STAR, lengths, center, ALONG_X @ turn("z", 90), color)


def heart(center: Vector, size: float, depth: float, color: RGB, *, rounding: float = 0.0) -> Part:
    """A heart that stands on its point and faces the front."""
    return _part(Kind.HEART, (size, depth - rounding, 0.0, 0.0, rounding), center, ALONG_X, color)


_CIRCLE = np.stack([np.cos(np.arange(16) * math.pi / 8), np.sin(np.arange(16) * math.pi / 8)], axis=1)
_CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def hull_spheres(part: Part) -> np.ndarray:
    """Spheres whose convex hull is (nearly) that of the part: (n, 4) world centres and radii."""
    points, radii = _local_hull(part.kind, part.parameters)
    return np.column_stack([points @ part.rotation.T + np.asarray(part.center), radii])


def bounding_radius(part: Part) -> float:
    """Radius of a ball about the part's centre that holds it."""
    points, radii = _local_hull(part.kind, part.parameters)
    return float((np.linalg.norm(points, axis=1) + radii).max()) * 1.02  # circles are sampled at 16 points


def _local_hull(kind: Kind, parameters: Vector) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d, rounding = parameters
    match kind:
        case Kind.BOX:
            points = _CORNERS * (a, b, c)
        case Kind.FRUSTUM:
            points = _circles((a, -c), (b, c))
        case Kind.ROUND_CONE:
            return np.array([[0.0, 0.0, -c], [0.0, 0.0, c]]), np.array([a, b])
        case Kind.ARC:
            angles = np.linspace(-1, 1, 17) * math.atan2(b, c)
            points = np.stack([a * np.cos(angles), a * np.sin(angles), 0 * angles], axis=1)
        case Kind.TUBE:
            points = _circles((a + b, -c), (a + b, c))
        case Kind.PRISM:
            points = _CORNERS * np.where(_CORNERS[:, 2:] < 0, (a, d, c), (b, d, c))
        case Kind.PYRAMID:
            points = _CORNERS * np.where(_CORNERS[:, 2:] < 0, (a, a, c), (b, b, c))
        case Kind.BOWL | Kind.DOME:
            pole = math.pi / 2 if kind is Kind.DOME else -math.pi / 2
            elevations = np.linspace(math.asin(b / a), pole, 6)
            points = _circles(*((a * math.cos(e), a * math.sin(e)) for e in elevations))
        case Kind.STAR:
            angles = np.arange(10) * math.pi / 5
            radius = np.where(np.arange(10) % 2 == 0, a, b)
            points = _slab(np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1), c)
        case Kind.HEART:
            lobe = math.sqrt(0.125) * _CIRCLE + (0.25, 0.75)
            points = _slab(a * np.concatenate([[[0.0, 0.0]], lobe, lobe * (-1, 1)]), b)
    return points, np.full(len(points), rounding)


def _circles(*rows: tuple[float, float]) -> np.ndarray:
    """Points on circles about z, given as (radius, height)."""
    return np.concatenate([np.column_stack([radius * _CIRCLE, np.full(16, height)]) for radius, height in rows])


def _slab(figure: np.ndarray, depth: float) -> np.ndarray:
    """The points of a plane figure at -depth and +depth."""
    return np.concatenate([np.column_stack([figure, np.full(len(figure), z)]) for z in (-depth, depth)])
