"""Whether a toy has its front in front and its back behind, and neither on both sides.

The mesh, as a coloured solid, is compared with the fitted scene as it is and with that scene turned by half a turn,
separately in front of the centre (x > 0) and behind it. Two coloured solids differ at a point by

    1 where only one of them is,   0 where neither is,   min(1, difference of their colours / 40) where both are,

and are compared just below and just above the surfaces of both scenes. The margin of a half is

    (difference of the mesh from the turned scene - its difference from the scene) / difference of the two scenes,

1 for the scene itself and -1 for the turned one: points at which the two scenes are alike say nothing and cancel out.
An object with a face on both sides has 1 in front and -1 behind; one with none has -1 in front.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.toybox.evaluation.color_difference import ciede2000, lab
from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.scene_surface import SceneSurface

_DEPTH = 0.015
"""How far below and above a surface solids are compared, world units: half a cell, less than any part is thick."""
_FULL_DIFFERENCE = 40.0
"""CIEDE2000 from which on colours count as wholly different; most named colours differ by more."""
_CLEAR = 0.1
"""Least margin of a half that is right; what fits neither way has about 0."""


@dataclass(frozen=True)
class Facing:
    """Which way a mesh faces.

    Attributes:
        front_margin, back_margin: Of the half in front and the half behind, in about [-1, 1].
        is_front_right, is_back_right: Whether the half is clearly more like the scene than like the turned scene.
    """

    front_margin: float = 0.0
    back_margin: float = 0.0
    is_front_right: bool = False
    is_back_right: bool = False


@dataclass(frozen=True, eq=False)
class _ColoredSolid:
    """Occupancy and colour (CIELAB) at N points."""

    inside: Bool[Tensor, "N"]
    color: Float[Tensor, "N 3"]

    def difference(self, other: _ColoredSolid) -> Float[Tensor, "N"]:
        color = (ciede2000(self.color, other.color) / _FULL_DIFFERENCE).clamp(max=1.0)
        return torch.where(self.inside & other.inside, color, (self.inside != other.inside).float())


def facing(mesh: MeshSurface, scene: SceneSurface) -> Facing | None:
    """Which way a mesh faces; None for scenes without a front."""
    if not scene.scene.spec.has_front:
        return None
    surface = scene.points
    probes = torch.cat([surface.positions + side * _DEPTH * surface.normals for side in (-1.0, 1.0)])
    probes = torch.cat([probes, _turned(probes)])  # near the surface of the turned scene
    shown = _ColoredSolid(mesh.inside(probes), lab(mesh.color(probes)))
    right, wrong = _solid(scene, probes), _solid(scene, _turned(probes))
    gain = shown.difference(wrong) - shown.difference(right)
    contrast = right.difference(wrong)
    is_front = probes[:, 0] > 0.0
    front, back = (float(gain[half].sum() / contrast[half].sum().clamp_min(1e-9)) for half in (is_front, ~is_front))
    return Facing(front, back, front > _CLEAR, back > _CLEAR)


def _turned(points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Points after half a turn about z."""
    return points * points.new_tensor([-1.0, -1.0, 1.0])


def _solid(scene: SceneSurface, points: Float[Tensor, "N 3"]) -> _ColoredSolid:
    return _ColoredSolid(scene.distance(points) <= 0.0, lab(scene.albedo[scene.part(points)]))
