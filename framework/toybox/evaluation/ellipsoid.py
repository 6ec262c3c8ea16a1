"""The ellipsoid that is most like a solid: how well a blob does, which knows the place and size of a thing only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.toybox.evaluation.fitting import Probes
from framework.toybox.evaluation.search import Effort, maximize
from framework.toybox.evaluation.voxels import cell_centers

_EFFORT = Effort(starts=64, generations=24, children=16)
_SHIFT, _STRETCH, _TURN = 0.3, 0.4, 0.5
"""Half sides of the searched box about the ellipsoid of equal moments: share of the axes, logarithm, radians."""
_NUM_PROBES = 12_000
_SOFTNESS = 5e-3
"""Width of the step from inside to outside, as a share of the axes, so that scores change smoothly."""


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """The points p with |inverse (p - center)| <= 1.

    Attributes:
        center: World position.
        inverse: Takes the ellipsoid about its centre to the unit ball.
    """

    center: Float[Tensor, "3"]
    inverse: Float[Tensor, "3 3"]

    def cells(self, resolution: int) -> Bool[Tensor, "R R R"]:
        """The cells that it occupies."""
        return ((cell_centers(resolution) - self.center) @ self.inverse.T).norm(dim=-1) <= 1.0


def best_ellipsoid(cells: Bool[Tensor, "R R R"]) -> Ellipsoid:
    """The ellipsoid that overlaps most with a solid: searched from the one of equal mean and covariance.

    Deterministic: the search draws from a generator of its own.

    Raises:
        ValueError: If no cell is occupied.
    """
    if not bool(cells.any()):
        raise ValueError("best_ellipsoid: no cell is occupied.")
    center, lengths, axes = _moments(cells)
    probes = Probes.of(cells, count=_NUM_PROBES)

    def scores(vectors: Float[Tensor, "S 9"]) -> Float[Tensor, "S"]:
        centers, inverses = _shaped(vectors, center, lengths, axes)
        distance = torch.einsum("sij,smj->smi", inverses, probes.points - centers[:, None]).norm(dim=-1)
        return probes.overlap(torch.sigmoid((1.0 - distance) / _SOFTNESS))

    half = torch.tensor([_SHIFT] * 3 + [_STRETCH] * 3 + [_TURN] * 3)
    generator = torch.Generator().manual_seed(0)
    best = maximize(scores, -half, half, known=torch.zeros(1, 9), effort=_EFFORT, generator=generator)
    centers, inverses = _shaped(best[None], center, lengths, axes)
    return Ellipsoid(centers[0], inverses[0])


def _moments(cells: Bool[Tensor, "R R R"]) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"], Float[Tensor, "3 3"]]:
    """Centre, half axes and their directions (columns) of the ellipsoid with the mean and covariance of a solid."""
    points = cell_centers(len(cells))[cells]
    center = points.mean(dim=0)
    covariance = (points - center).T @ (points - center) / len(points)
    variances, axes = torch.linalg.eigh(covariance)
    # A ball of radius r has the variance r^2 / 5 along each axis; a single layer of cells still has their thickness.
    return center, (5.0 * variances).sqrt().clamp(min=1.0 / len(cells)), axes


def _shaped(
    vectors: Float[Tensor, "S 9"], center: Float[Tensor, "3"], lengths: Float[Tensor, "3"], axes: Float[Tensor, "3 3"]
) -> tuple[Float[Tensor, "S 3"], Float[Tensor, "S 3 3"]]:
    """Centres and inverses of ellipsoids near the given one: shift in its axes, logarithmic stretch, rotation vector."""
    shift, stretch, turn = vectors.split(3, dim=1)
    centers = center + (shift * lengths) @ axes.T
    x, y, z = turn.unbind(dim=1)
    zero = torch.zeros_like(x)
    generators = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    to_local = torch.linalg.matrix_exp(generators) @ axes.T  # (S, 3, 3)
    return centers, to_local / (lengths * stretch.exp())[:, :, None]
