"""What is asked of a field at points in space, and what it answers."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.step import StepInfo


class Attribute(enum.Enum):
    """What a geometry can be asked for, and what a material can need."""

    DENSITY = "density"
    SIGNED_DISTANCE = "signed distance"
    FEATURES = "features"
    NORMALS = "normals"
    GRADIENT = "gradient"
    GRID = "grid values"


@dataclass(frozen=True)
class FieldQuery:
    """A question to a geometry.

    Attributes:
        positions: World space.
        step: When it is asked, for parts of the field that depend on the step.
        wants: Only these attributes are computed.
    """

    positions: Float[Tensor, "N 3"]
    step: StepInfo
    wants: frozenset[Attribute]


@dataclass(frozen=True)
class FieldSample:
    """Answers of a geometry; an attribute that was not wanted is None.

    Attributes:
        density: Volume density, per world unit, not negative.
        signed_distance: To the surface, negative inside, world units.
        features: Input of the material, unbounded.
        normals: Unit vectors, world space, pointing out of the object.
        gradient: Of the signed distance, of length 1 where it is exact.
        grid: All values of a regular grid over the cube, wherever the query's positions are: first what makes the shape,
            then the features, not activated.
    """

    density: Float[Tensor, "N"] | None = None
    signed_distance: Float[Tensor, "N"] | None = None
    features: Float[Tensor, "N F"] | None = None
    normals: Float[Tensor, "N 3"] | None = None
    gradient: Float[Tensor, "N 3"] | None = None
    grid: Float[Tensor, "C D H W"] | None = None


@dataclass(frozen=True)
class ShadingPoints:
    """Points that a material colours.

    Attributes:
        positions: World space.
        view_directions: Unit vectors from the camera to the point.
        normals: Unit vectors, or None where the material needs none.
        light_positions: World space.
        ambient, diffuse: Weights of the light at each point.
        is_textureless: 1 where white albedo is shown, else 0.
    """

    positions: Float[Tensor, "N 3"]
    view_directions: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"] | None
    light_positions: Float[Tensor, "N 3"]
    ambient: Float[Tensor, "N"]
    diffuse: Float[Tensor, "N"]
    is_textureless: Float[Tensor, "N"]
