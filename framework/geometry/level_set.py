"""The closed mesh of what a geometry encloses: of a density above a threshold, or of a negative signed distance.

Fields are sampled on a fine grid and contoured by dual cubes with equal weights. Of densities it is the logarithm
log(1 + density radius) that is interpolated, because they rise so steeply. Densities also get rid of specks and of
cavities, which a distilled field is full of and nobody sees.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.geometry.dual_cubes import dual_surface
from framework.geometry.silhouettes import best_threshold
from framework.geometry.solid import clean
from framework.ops.chunks import in_chunks
from framework.structures.field import Attribute, FieldQuery
from framework.structures.mesh import Mesh

_POINTS_AT_ONCE = 1 << 18
_OPAQUE = 0.5
_MIN_COMPONENT_FRACTION = 0.01
_MAX_OPENING = 4
_BORDER = 1e-2


@torch.no_grad()
def density_mesh(geometry: Geometry, *, step: StepInfo, threshold: float | None, resolution: int) -> Mesh:
    """The closed surface of all points denser than `threshold`.

    Args:
        geometry: Answers densities.
        step: When it is asked.
        threshold: Density of the surface, per world unit; None takes that of `silhouette_threshold`.
        resolution: Grid vertices along each side of the cube.

    Raises:
        UserError: If densities are not finite or none of them exceeds the threshold.
    """
    radius = geometry.config.radius
    density = _sampled(geometry, Attribute.DENSITY, step, resolution)
    if threshold is None:
        threshold = silhouette_threshold(density, radius)
    level = torch.log1p(density * radius) - math.log1p(threshold * radius)
    solid = clean(level, min_component_fraction=_MIN_COMPONENT_FRACTION, max_opening=_MAX_OPENING)
    what = (
        f"density lies between {float(density.min()):.3g} and {float(density.max()):.3g}, never above {threshold:.3g}"
    )
    return _contoured(-solid, radius, what)


@torch.no_grad()
def distance_mesh(geometry: Geometry, *, step: StepInfo, resolution: int) -> Mesh:
    """The closed surface of all points with a negative signed distance.

    Args:
        geometry: Answers signed distances.
        step: When it is asked.
        resolution: Grid vertices along each side of the cube.

    Raises:
        UserError: If distances are not finite or none of them is negative.
    """
    distance = _sampled(geometry, Attribute.SIGNED_DISTANCE, step, resolution)
    what = f"signed distance lies between {float(distance.min()):.3g} and {float(distance.max()):.3g}, never below 0"
    return _contoured(distance, geometry.config.radius, what)


def silhouette_threshold(density: Float[Tensor, "N N N"], radius: float) -> float:
    """The density at which silhouettes along x, y and z match the pixels where a volume render would be opaque.

    A ray's opacity is 1 - exp(-integral of the density), and it belongs to the silhouette of {density > threshold} if
    its highest density exceeds that. Whoever can render the volume knows better which rays are opaque: a renderer skips
    what it holds for empty.

    Raises:
        UserError: If no ray is opaque.
    """
    spacing = 2.0 * radius / (len(density) - 1)
    optical_depth = torch.cat([density.sum(dim=axis).flatten() for axis in range(3)]) * spacing
    peaks = torch.cat([density.amax(dim=axis).flatten() for axis in range(3)])
    is_opaque = (-optical_depth).exp() < 1.0 - _OPAQUE
    if not bool(is_opaque.any()):
        most = 1.0 - math.exp(-float(optical_depth.max()))
        raise UserError(
            f"The field is too thin to have a surface: its most opaque ray has an opacity of {most:.2f}. Train longer, "
            "or lower the weight of the sparsity loss."
        )
    return best_threshold(peaks, is_opaque).value


def _sampled(geometry: Geometry, attribute: Attribute, step: StepInfo, resolution: int) -> Float[Tensor, "N N N"]:
    radius, device = geometry.config.radius, next(geometry.parameters()).device
    line = torch.linspace(-radius, radius, resolution, device=device)

    def ask(part: slice) -> Tensor:
        index = torch.arange(part.start, part.stop, device=device)
        places = (index // resolution**2, index // resolution % resolution, index % resolution)
        positions = torch.stack([line[place] for place in places], dim=1)
        sample = geometry.query(FieldQuery(positions, step, frozenset({attribute})))
        value = sample.density if attribute is Attribute.DENSITY else sample.signed_distance
        assert value is not None
        return value.float()

    values = in_chunks(ask, resolution**3, size=_POINTS_AT_ONCE, what="points")
    grid = torch.cat(values).view(resolution, resolution, resolution)
    if not bool(grid.isfinite().all()):
        share = 1.0 - grid.isfinite().float().mean().item()
        raise UserError(
            f"The field's {attribute.value} is not a finite number at {share:.1%} of the grid, so it has no surface. "
            "Start from an earlier checkpoint, and lower the learning rate of the geometry."
        )
    return grid


def _contoured(signed: Float[Tensor, "N N N"], radius: float, what: str) -> Mesh:
    """The surface of a field that is negative inside; the faces of the cube close what would stick out of it."""
    field = signed.clamp_min(_BORDER * 2.0 * radius / len(signed))
    inner = (slice(1, -1),) * 3
    field[inner] = signed[inner]
    if not bool((field < 0.0).any()):
        raise UserError(f"There is no surface to convert: the field's {what}.")
    line = torch.linspace(-radius, radius, len(signed), device=signed.device)
    found = dual_surface(torch.cartesian_prod(line, line, line), field)
    return Mesh(found.vertices, found.faces)
