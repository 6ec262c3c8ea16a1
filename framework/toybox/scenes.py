"""From what a caption names to solids in the unit ball.

A `SceneSpec` is what a caption says. `build` adds the nuisances that it leaves open, a vector in [0, 1]^k, and
is deterministic, so that a score can search them. The layout of the vector:

    0  radius          1  yaw          2  relative size     3  offset     4  side          (2 to 4: relations only)
    then for each object: `NUM_PROPORTIONS` proportions, `NUM_SHADES` shades
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framework.toybox.colors import NUM_SHADES, Look, between
from framework.toybox.families import FAMILIES, NUM_PROPORTIONS, ON_TOP
from framework.toybox.parts import Part, hull_spheres, turn

NUM_PLACEMENTS = 5
"""Nuisances of the whole scene, which come first."""
PAIR_RADIUS = (0.72, 0.8)
"""Range of the radius of two objects together, in units of the unit ball."""
PAIR_YAW_DEG = 10.0


@dataclass(frozen=True)
class ObjectSpec:
    """One object of a caption: the name of its family and of its colour, which the caption may leave out."""

    family: str
    color: str | None = None


@dataclass(frozen=True)
class SceneSpec:
    """What a caption says.

    Attributes:
        objects: One object, or two in the order in which the caption names them.
        relation: How the first stands to the second: one of `families.RELATIONS`; None for one object.
        view: One of the view words, such as "front view", or None.
    """

    objects: tuple[ObjectSpec, ...]
    relation: str | None = None
    view: str | None = None

    @property
    def num_nuisances(self) -> int:
        """Length of the vector that `build` takes."""
        return NUM_PLACEMENTS + len(self.objects) * (NUM_PROPORTIONS + NUM_SHADES)

    @property
    def has_front(self) -> bool:
        """Front and back differ."""
        return self.relation is None and FAMILIES[self.objects[0].family].has_front


@dataclass(frozen=True)
class Scene:
    """Solids within the unit ball about the origin, z up, front to +x, and the spec they were built for."""

    spec: SceneSpec
    parts: tuple[Part, ...]


def build(spec: SceneSpec, nuisance: Sequence[float]) -> Scene:
    """The scene of a spec.

    Args:
        spec: Objects without a colour get their typical one.
        nuisance: `spec.num_nuisances` values in [0, 1], laid out as the head of this module says.

    Raises:
        ValueError: If the vector has another length.
    """
    if len(nuisance) != spec.num_nuisances:
        raise ValueError(f"build: '{spec}' takes {spec.num_nuisances} nuisances, got {len(nuisance)}.")
    placement, rest = nuisance[:NUM_PLACEMENTS], nuisance[NUM_PLACEMENTS:]
    size = NUM_PROPORTIONS + NUM_SHADES
    groups = [_object(item, rest[size * i : size * (i + 1)]) for i, item in enumerate(spec.objects)]
    if spec.relation is None:
        family = FAMILIES[spec.objects[0].family]
        parts, radius, max_yaw = groups[0], family.radius, family.max_yaw_deg
    else:
        parts, radius, max_yaw = _related(spec.relation, groups, placement), PAIR_RADIUS, PAIR_YAW_DEG
    yaw = turn("z", between(-max_yaw, max_yaw, placement[1]))
    return Scene(spec, tuple(_fitted(parts, between(*radius, placement[0]), yaw)))


def _object(item: ObjectSpec, nuisance: Sequence[float]) -> list[Part]:
    """One object, centred, with radius 1."""
    family = FAMILIES[item.family]
    look = Look.of(item.color or family.typical_color, nuisance[NUM_PROPORTIONS:])
    return _fitted(family.parts(look, nuisance[:NUM_PROPORTIONS]), 1.0, np.eye(3))


def _related(relation: str, groups: list[list[Part]], placement: Sequence[float]) -> list[Part]:
    """Both objects side by side along y, or the first on top of the second; they touch."""
    first, second = groups
    first = _moved(first, np.zeros(3), between(0.8, 1.0, placement[2]))
    (low_1, high_1), (low_2, high_2) = extent(first), extent(second)
    if relation == ON_TOP:
        shift = np.array([0.0, between(-0.08, 0.08, placement[3]), high_2[2] - low_1[2]])
    else:
        gap = between(0.02, 0.2, placement[3])
        y = high_2[1] - low_1[1] + gap if placement[4] < 0.5 else low_2[1] - high_1[1] - gap
        shift = np.array([0.0, y, low_2[2] - low_1[2]])  # both stand on one floor
    return [*_moved(first, shift, 1.0), *second]


def extent(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of the box about the parts."""
    spheres = np.concatenate([hull_spheres(part) for part in parts])
    return (spheres[:, :3] - spheres[:, 3:]).min(axis=0), (spheres[:, :3] + spheres[:, 3:]).max(axis=0)


def _fitted(parts: Sequence[Part], radius: float, rotation: np.ndarray) -> list[Part]:
    """The parts with the middle of their box at the origin, scaled to reach `radius`, then rotated."""
    spheres = np.concatenate([hull_spheres(part) for part in parts])
    centers, radii = spheres[:, :3], spheres[:, 3:]
    middle = 0.5 * ((centers - radii).min(axis=0) + (centers + radii).max(axis=0))
    reach = (np.linalg.norm(centers - middle, axis=1) + radii[:, 0]).max()
    scale = float(radius / reach)
    return [part.transformed(rotation, -middle * scale, scale) for part in parts]


def _moved(parts: Sequence[Part], shift: np.ndarray, scale: float) -> list[Part]:
    return [part.transformed(np.eye(3), shift, scale) for part in parts]
