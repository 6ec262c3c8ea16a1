"""Cameras: the conventions, and the agreement of rays, projection and intrinsics."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.structures.cameras import Cameras, look_at, spherical_direction


def some_cameras(height: int = 6, width: int = 8) -> Cameras:
    generator = torch.Generator().manual_seed(0)
    azimuth, elevation, distance, fov_y = torch.rand(4, 5, generator=generator)
    return Cameras.orbit(6.0 * azimuth, elevation - 0.5, 2.0 + distance, 0.5 + fov_y, height=height, width=width)


def homogeneous(points: Tensor) -> Tensor:
    return torch.cat([points, torch.ones(*points.shape[:-1], 1)], dim=-1)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [(0, 0, (1, 0, 0)), (90, 0, (0, 1, 0)), (180, 0, (-1, 0, 0)), (0, 90, (0, 0, 1)), (0, -90, (0, 0, -1))],
)
def test_azimuth_is_counter_clockwise_from_the_front_and_elevation_goes_up(
    azimuth: float, elevation: float, expected: tuple[float, float, float]
) -> None:
    angles = torch.deg2rad(torch.tensor([[azimuth], [elevation]], dtype=torch.float32))
    torch.testing.assert_close(spherical_direction(*angles)[0], torch.tensor(expected).float(), atol=1e-6, rtol=0)


def test_a_camera_in_front_sees_y_to_the_right_and_z_up() -> None:
    zero, distance = torch.zeros(1), torch.full((1,), 3.0)
    camera = Cameras.orbit(zero, zero, distance, torch.full((1,), 1.0), height=2, width=2)
    axes = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # columns: right, up, backward
    torch.testing.assert_close(camera.camera_to_world[0, :3, :3], axes)
    torch.testing.assert_close(camera.positions[0], torch.tensor([3.0, 0, 0]))


@pytest.mark.parametrize(
    "position",
    [(0.0, 0.0, 2.0), (0.0, 0.0, -2.0), (1e-6, 0.0, 2.0), (0.0, -1e-5, 2.0), (1e-2, 1e-2, 2.0), (1.0, 2.0, 0.0)],
)
def test_every_camera_is_a_rigid_transform_that_looks_at_its_target(position: tuple[float, float, float]) -> None:
    matrix = look_at(torch.tensor([position]), torch.zeros(1, 3))[0]
    rotation = matrix[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(rotation) == pytest.approx(1.0, abs=1e-5)
    backward = torch.tensor(position) / math.dist(position, (0, 0, 0))
    torch.testing.assert_close(rotation[:, 2], backward)


def test_a_camera_straight_above_has_x_as_its_up_direction() -> None:
    matrix = look_at(torch.tensor([[0.0, 0, 2], [0, 0, -2]]), torch.zeros(2, 3))
    torch.testing.assert_close(matrix[:, :3, 1], torch.tensor([[1.0, 0, 0], [1, 0, 0]]))


def test_rays_are_unit_vectors_in_image_order_from_the_top_left() -> None:
    zero = torch.zeros(1)
    camera = Cameras.orbit(zero, zero, zero + 3, zero + math.pi / 2, height=2, width=4)
    rays = camera.rays()
    assert len(rays) == 8
    torch.testing.assert_close(rays.directions.norm(dim=1), torch.ones(8))
    # The first pixel's centre is 1.5 pixels to the left of and half a pixel above the middle, at focal length 1 pixel.
    expected = torch.tensor([-1.0, -1.5, 0.5])
    torch.testing.assert_close(rays.directions[0], expected / expected.norm())


def test_points_along_a_ray_project_to_its_pixel() -> None:
    cameras = some_cameras()
    rays = cameras.rays()
    points = (rays.origins + 2.5 * rays.directions).reshape(5, -1, 3)
    u, v = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(6) + 0.5, indexing="xy")
    pixels = torch.stack([u, v], dim=-1).reshape(-1, 2).expand(5, -1, -1)

    local = (cameras.world_to_camera("opencv") @ homogeneous(points).transpose(1, 2))[:, :3]
    image = (cameras.intrinsics() @ local).transpose(1, 2)
    torch.testing.assert_close(image[..., :2] / image[..., 2:], pixels, atol=1e-4, rtol=0)

    clip = cameras.projection(0.1, 10.0) @ cameras.world_to_camera() @ homogeneous(points).transpose(1, 2)
    screen = (clip[:, :2] / clip[:, 3:]).transpose(1, 2)
    torch.testing.assert_close(screen[..., 0], 2 * pixels[..., 0] / 8 - 1, atol=1e-5, rtol=0)
    torch.testing.assert_close(screen[..., 1], 1 - 2 * pixels[..., 1] / 6, atol=1e-5, rtol=0)


def test_the_projection_maps_near_and_far_to_the_ends_of_the_depth_range() -> None:
    matrix = some_cameras().projection(0.5, 8.0)
    ends = torch.tensor([[0.0, 0, -0.5, 1], [0, 0, -8.0, 1]])
    clip = torch.einsum("bij,nj->bni", matrix, ends)
    torch.testing.assert_close(clip[..., 2] / clip[..., 3], torch.tensor([-1.0, 1.0]).expand(5, 2))


@pytest.mark.parametrize("convention", ["opengl", "opencv"])
def test_world_to_camera_undoes_camera_to_world(convention: str) -> None:
    cameras = some_cameras()
    product = cameras.world_to_camera(convention) @ cameras.camera_to_world
    flip = torch.diag(torch.tensor([1.0, 1, 1, 1] if convention == "opengl" else [1.0, -1, -1, 1]))
    torch.testing.assert_close(product, flip.expand(5, 4, 4), atol=1e-6, rtol=0)


def test_a_batch_of_cameras_casts_the_rays_of_each_alone() -> None:
    cameras = some_cameras()
    together = cameras.rays().directions.reshape(5, -1, 3)
    for index in range(5):
        torch.testing.assert_close(together[index], cameras[index].rays().directions)


def image_of(cameras: Cameras) -> Tensor:
    """Ray directions as images, (B, H, W, 3)."""
    return cameras.rays().directions.view(len(cameras), cameras.height, cameras.width, 3)


def test_a_crop_sees_its_pixels_of_the_image_and_so_does_a_crop_of_it() -> None:
    cameras = some_cameras(height=9, width=8)
    part = cameras.crop(2, 3, 6, 4)
    assert (part.height, part.width) == (6, 4)
    torch.testing.assert_close(image_of(part), image_of(cameras)[:, 2:8, 3:7], atol=1e-6, rtol=0)
    torch.testing.assert_close(image_of(part.crop(1, 0, 2, 3)), image_of(cameras)[:, 3:5, 3:6], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("stride", "row", "column"), [(2, 0, 0), (3, 2, 1), (4, 3, 3)])
def test_every_second_pixel_is_seen_along_the_same_ray(stride: int, row: int, column: int) -> None:
    cameras = some_cameras(height=9, width=8)
    expected = image_of(cameras)[:, row::stride, column::stride]
    strided = image_of(cameras.every(stride, row=row, column=column))
    torch.testing.assert_close(strided, expected, atol=1e-6, rtol=0)


def test_points_along_a_ray_of_a_part_project_to_its_pixel() -> None:
    part = some_cameras().crop(1, 2, 5, 3).every(2, row=1)
    rays = part.rays()
    points = (rays.origins + 2.5 * rays.directions).reshape(5, -1, 3)
    u, v = torch.meshgrid(torch.arange(part.width) + 0.5, torch.arange(part.height) + 0.5, indexing="xy")
    pixels = torch.stack([u, v], dim=-1).reshape(-1, 2).expand(5, -1, -1)

    local = (part.world_to_camera("opencv") @ homogeneous(points).transpose(1, 2))[:, :3]
    image = (part.intrinsics() @ local).transpose(1, 2)
    torch.testing.assert_close(image[..., :2] / image[..., 2:], pixels, atol=1e-4, rtol=0)

    clip = part.projection(0.1, 10.0) @ part.world_to_camera() @ homogeneous(points).transpose(1, 2)
    screen = (clip[:, :2] / clip[:, 3:]).transpose(1, 2)
    torch.testing.assert_close(screen[..., 0], 2 * pixels[..., 0] / part.width - 1, atol=1e-5, rtol=0)
    torch.testing.assert_close(screen[..., 1], 1 - 2 * pixels[..., 1] / part.height, atol=1e-5, rtol=0)


def test_a_part_is_indexed_and_moved_like_other_cameras() -> None:
    part = some_cameras().crop(1, 2, 4, 3)
    torch.testing.assert_close(image_of(part[3].to("cpu")), image_of(part)[3:4])
