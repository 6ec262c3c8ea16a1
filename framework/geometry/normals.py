"""Slopes of scalar fields, and the unit vectors along them.

A field that falls from the inside of an object to the outside has its normals against its slope. It may be the density
before its activation: a monotone activation leaves the direction of the slope as it is, and without it the slope neither
saturates inside nor underflows outside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Field = Callable[[Tensor], Tensor]
"""Maps positions (N, 3) to values (N,)."""

_SMALLEST_SLOPE = 1e-3
# Corners of a tetrahedron about the origin: four of the cube's eight, at distance sqrt(3).
_TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))


def unit(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Vectors at unit length; those much shorter than 1e-3 go to zero, with bounded derivatives."""
    squared = (vectors * vectors).sum(dim=1, keepdim=True)
    return vectors * torch.rsqrt(squared + _SMALLEST_SLOPE**2)


def finite_difference_slope(field: Field, positions: Float[Tensor, "N 3"], *, epsilon: float) -> Float[Tensor, "N 3"]:
    """The gradient of `field` from its values at distance `epsilon` (world units) in the corners of a tetrahedron.

    With corners k_i, sum_i k_i k_i^T = 4 I, so that sum_i k_i f(x + h k_i) = 4 h grad f, up to terms of second order.
    Computed without autocast, in whose half precision neighbouring values hardly differ.
    """
    corners = torch.tensor(_TETRAHEDRON, device=positions.device, dtype=positions.dtype)
    spacing = epsilon / 3.0**0.5
    taps = positions[:, None] + spacing * corners  # (N, 4, 3): those of one point together, as they share grid cells
    with torch.autocast(positions.device.type, enabled=False):
        values = field(taps.reshape(-1, 3)).reshape(-1, 4)
        return (values @ corners.to(values.dtype)) * (0.25 / spacing)


def analytic_slope(field: Field, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """The derivative of `field`, which must be differentiable twice if a loss looks at it."""
    is_recorded = torch.is_grad_enabled()
    with torch.inference_mode(mode=False), torch.enable_grad():
        points = positions.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(field(points).sum(), points, create_graph=is_recorded)
    return slope
