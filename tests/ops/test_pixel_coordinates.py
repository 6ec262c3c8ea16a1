"""Homogeneous pixel coordinates against rays."""

from __future__ import annotations

import torch
from meshes import orbiting, seen_at

from framework.ops.pixel_coordinates import project, ray_lengths
from framework.structures.cameras import Cameras


def test_points_are_projected_to_where_they_were_placed() -> None:
    one = torch.ones(1)
    cameras = Cameras.orbit(0.4 * one, -0.2 * one, 2.0 * one, 0.9 * one, height=20, width=30)
    points = seen_at(cameras, [(3.0, 4.5), (29.0, -2.0), (15.0, 10.0)], [2.0, 0.5, -1.0])
    (projected,) = project(points, cameras)
    torch.testing.assert_close(projected[:, 2], torch.tensor([2.0, 0.5, -1.0]))
    expected = torch.tensor([[3.0, 4.5], [29.0, -2.0], [15.0, 10.0]])
    torch.testing.assert_close(projected[:, :2] / projected[:, 2:], expected, atol=1e-4, rtol=1e-4)


def test_a_point_on_a_pixels_ray_is_projected_to_its_center_at_its_share_of_the_ray_length() -> None:
    cameras = orbiting(0.3, 2.0, size=6)
    rays = cameras.rays()
    lengths = ray_lengths(cameras)
    for view in range(2):
        own = rays[36 * view : 36 * view + 36]
        points = project(own.origins + 1.7 * own.directions, cameras)[view].view(6, 6, 3)
        torch.testing.assert_close(points[..., 2] * lengths[view], torch.full((6, 6), 1.7))
        centers = torch.arange(6) + 0.5
        torch.testing.assert_close(points[..., 0] / points[..., 2], centers.expand(6, 6), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(points[..., 1] / points[..., 2], centers[:, None].expand(6, 6), atol=1e-4, rtol=1e-4)


def test_autocast_does_not_lower_the_precision() -> None:
    cameras = orbiting(0.3)
    points = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = project(points, cameras)
    assert inside.dtype == torch.float32 and torch.equal(inside, project(points, cameras))
