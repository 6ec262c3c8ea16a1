"""Values on a regular grid."""

from __future__ import annotations

import torch

from framework.core.step import named_generator
from framework.geometry.dense_grid import dense_layout, grid_points, interpolate_grid

LAYOUT = dense_layout(4, 3)


def table() -> torch.Tensor:
    """At each point its own position."""
    values = torch.full((LAYOUT.num_entries, 3), torch.nan)
    values[: 4**3] = grid_points(LAYOUT)
    return values


def test_points_stand_in_the_order_of_their_values_and_end_on_the_faces() -> None:
    points = grid_points(LAYOUT)
    assert torch.equal(points[1] - points[0], torch.tensor([1.0 / 3.0, 0.0, 0.0]))
    assert points.amin() == 0.0 and points.amax() == 1.0 and len(points.unique(dim=0)) == 4**3


def test_a_linear_function_is_interpolated_exactly() -> None:
    positions = torch.cat([torch.rand(64, 3, generator=named_generator(0, "positions")), torch.eye(3)])
    values = interpolate_grid(positions, table().nan_to_num(), LAYOUT, backend="torch")
    torch.testing.assert_close(values, positions, atol=1e-6, rtol=0.0)
