"""What a renderer tells the material of the points that it colours."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.field import ShadingPoints
from framework.structures.views import Lights


def shading_points(
    positions: Float[Tensor, "N 3"],
    directions: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    lights: Lights,
    view: Int[Tensor, "N"],
) -> ShadingPoints:
    """Points of several views, each under the light of its own.

    Args:
        positions: World space.
        directions: Unit vectors from the camera to the points.
        normals: Unit vectors, or None where nobody needs them.
        lights: One for each view.
        view: The view to which each point belongs.
    """
    if len(lights) == 1:
        each = lights.map(lambda value: value.expand(len(positions), *value.shape[1:]))
    else:
        each = lights.map(lambda value: value.index_select(0, view))
    return ShadingPoints(
        positions=positions,
        view_directions=directions,
        normals=normals,
        light_positions=each.positions,
        ambient=each.ambient,
        diffuse=each.diffuse,
        is_textureless=each.is_textureless.to(positions.dtype),
    )
