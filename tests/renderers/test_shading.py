"""What materials are told of points."""

from __future__ import annotations

import torch

from framework.renderers.shading import shading_points
from framework.structures.views import Lights

LIGHTS = Lights(
    positions=torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]),
    ambient=torch.tensor([0.25, 0.5]),
    diffuse=torch.tensor([0.75, 0.5]),
    is_textureless=torch.tensor([False, True]),
)


def test_each_point_stands_in_the_light_of_its_own_view() -> None:
    positions = torch.rand(3, 3, generator=torch.Generator().manual_seed(0))
    points = shading_points(positions, -positions, None, LIGHTS, torch.tensor([1, 0, 1]))
    assert points.light_positions.tolist() == [[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    assert points.ambient.tolist() == [0.5, 0.25, 0.5] and points.diffuse.tolist() == [0.5, 0.75, 0.5]
    assert points.is_textureless.tolist() == [1.0, 0.0, 1.0]
    assert points.normals is None and torch.equal(points.view_directions, -positions)


def test_points_of_a_single_view_share_its_light_without_copies() -> None:
    positions = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    points = shading_points(positions, -positions, positions, LIGHTS[1], torch.zeros(4, dtype=torch.long))
    assert points.light_positions.tolist() == 4 * [[0.0, 2.0, 0.0]] and points.light_positions.stride(0) == 0
    assert points.ambient.tolist() == 4 * [0.5]
