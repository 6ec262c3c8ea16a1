"""What both tracers share: the light model, the images that come out, and the constants of sphere tracing.

Light: a point light without falloff and an ambient part,
    rgb = albedo * (ambient + (1 - ambient) * max(0, n . l)),   l = unit vector from the surface to the light,
on sRGB values as they are. ambient = 1 shows the albedo.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.structures.record import TensorRecord

HIT_DISTANCE = 5e-4
"""A ray has hit where it is this near to a surface, world units (a pixel of 64 x 64 is 3e-2 wide)."""
MAX_STEPS = 64
MAX_PARTS = 31
"""Parts of a scene that fit into a ray's bit mask in `tracing_warp`."""
NORMAL_STEP = 1e-3
"""Step of the finite differences that give normals, world units."""
SUB_PIXELS = 5
"""Rays of a pixel on an edge; they lie on the lattice of `sub_pixel_offset`."""
LATTICE = 2
EDGE_COSINE = 0.8
EDGE_DEPTH = 0.08
"""Neighbouring pixels belong to one surface if they show the same part, with normals and depths this similar."""


@dataclass(frozen=True, eq=False)
class Lights(TensorRecord):
    """S point lights.

    Attributes:
        positions: World space.
        ambient: Share of the light that comes from everywhere, in [0, 1].
    """

    positions: Float[Tensor, "S 3"]
    ambient: Float[Tensor, "S"]


@dataclass(frozen=True, eq=False)
class ToyImages(TensorRecord):
    """S rendered scenes.

    Attributes:
        rgb: In [0, 1], sRGB, on the background.
        opacity: Share of the pixel that the scene covers, in [0, 1].
        depth: Mean distance along the rays that hit, world units; 0 where none did.
        normals: Mean unit normals, world space; 0 where no ray hit.
    """

    rgb: Float[Tensor, "S H W 3"]
    opacity: Float[Tensor, "S H W 1"]
    depth: Float[Tensor, "S H W 1"]
    normals: Float[Tensor, "S H W 3"]


def sub_pixel_offset(index: int) -> tuple[float, float]:
    """Offset of a sub-pixel ray from the pixel centre, in pixels: no two share a row or a column."""
    return (index + 0.5) / SUB_PIXELS - 0.5, ((LATTICE * index) % SUB_PIXELS + 0.5) / SUB_PIXELS - 0.5
