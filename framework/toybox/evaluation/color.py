"""How far the colours of a mesh are from those that its caption asks for.

Every point of the scene's surface is compared with the base colour of the mesh where that is nearest, however far.
The scene has the middle shade of each colour, so a shade that goes by the right name may differ by a few units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.toybox.colors import COLORS
from framework.toybox.evaluation.color_difference import ciede2000, lab, nearest_names
from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.families import FAMILIES
from framework.toybox.parts import RGB

_SAME = 1e-4
"""Parts differ less than this from the middle of the colour that they carry; the tones of details differ more."""


@dataclass(frozen=True)
class PartColor:
    """One part of the scene.

    Attributes:
        color: Its albedo, sRGB values in [0, 1].
        area: Its share of the scene's surface.
        error: Mean CIEDE2000 between its albedo and the mesh.
    """

    color: RGB
    area: float
    error: float


@dataclass(frozen=True)
class ColorScore:
    """How right the colours are.

    Attributes:
        error: Mean CIEDE2000 over the surface of the scene, so over its parts by their visible area; 0 is best.
        parts: The parts that are on the surface, in the scene's order.
        named: Share of the surface in the colours that the caption names (or leaves to be the typical ones) where the
            mesh's colour is nearest to that name; None if no part on the surface has such a colour.
        name: The name most often nearest there.
    """

    error: float
    parts: tuple[PartColor, ...]
    named: float | None
    name: str | None


def color_score(mesh: MeshSurface, scene: SceneSurface) -> ColorScore:
    """The colours of a mesh against those of a scene whose colours are in their middle shades."""
    part = scene.points.part
    colors = mesh.color(scene.points.positions)
    errors = ciede2000(lab(scene.albedo[part]), lab(colors))
    parts = []
    for index in part.unique().tolist():
        of_part = errors[part == index]
        color = scene.scene.parts[index].color
        parts.append(PartColor(color, len(of_part) / len(errors), float(of_part.mean())))
    named, name = _named(colors, _wanted(scene)[part])
    return ColorScore(float(errors.mean()), tuple(parts), named, name)


def _wanted(scene: SceneSurface) -> Int[Tensor, "P"]:
    """The colour of the caption that each part carries, by its place in `COLORS`; -1 for the tones of details."""
    wanted = torch.full((len(scene.albedo),), -1)
    for item in scene.scene.spec.objects:
        name = item.color or FAMILIES[item.family].typical_color
        is_same = ((scene.albedo - torch.tensor(COLORS[name])).abs() < _SAME).all(dim=1)
        wanted[is_same] = list(COLORS).index(name)
    return wanted


def _named(colors: Float[Tensor, "N 3"], wanted: Int[Tensor, "N"]) -> tuple[float | None, str | None]:
    """Share of the points with a wanted colour that have it, and the most frequent name among them."""
    is_named = wanted >= 0
    if not bool(is_named.any()):
        return None, None
    found = nearest_names(colors[is_named])
    return float((found == wanted[is_named]).float().mean()), list(COLORS)[int(found.mode().values)]
