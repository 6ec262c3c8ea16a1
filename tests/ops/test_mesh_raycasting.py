"""Rays and points against triangle meshes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.ops.mesh_raycasting import RayCaster
from framework.structures.cameras import Cameras
from framework.structures.rays import Rays


def cube(device: torch.device) -> tuple[Tensor, Tensor]:
    """The cube [-1, 1]^3, counter-clockwise seen from outside; faces 0 to 3 are those of x = -1 and x = 1."""
    corners = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    bits = torch.tensor([4, 2, 1])  # of a corner's number, for x, y and z
    faces = []
    for axis in range(3):
        first, second = bits[(axis + 1) % 3], bits[(axis + 2) % 3]
        for base, (u, v) in ((0, (second, first)), (bits[axis], (first, second))):
            faces += [[base, base + u, base + u + v], [base, base + u + v, base + v]]
    return corners.to(device), torch.tensor(faces).to(device)


def sphere(device: torch.device, rings: int = 24, segments: int = 48) -> tuple[Tensor, Tensor]:
    """A unit sphere of quads cut in two, closed at the poles, counter-clockwise seen from outside."""
    polar = torch.linspace(0.0, math.pi, rings + 1)[:, None]
    azimuth = 2.0 * math.pi * torch.arange(segments)[None] / segments
    x, y = polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin()
    vertices = torch.stack([x, y, polar.cos().expand_as(x)], dim=-1).reshape(-1, 3)
    ring, segment = torch.meshgrid(torch.arange(rings), torch.arange(segments), indexing="ij")
    a = (ring * segments + segment).reshape(-1)
    b = (ring * segments + (segment + 1) % segments).reshape(-1)
    faces = torch.cat([torch.stack([a, a + segments, b], 1), torch.stack([b, a + segments, b + segments], 1)])
    return vertices.to(device), faces.to(device)


def camera_rays(device: torch.device) -> Rays:
    """Rays of two cameras around the origin, some of which miss a unit sphere."""
    angles = torch.tensor([0.3, 1.9])
    distance, fov_y = torch.full((2,), 3.0), torch.full((2,), 0.9)
    return Cameras.orbit(angles, 0.2 * angles, distance, fov_y, height=24, width=24).rays().to(device)


def points_of(faces: Tensor, vertices: Tensor, barycentric: Tensor) -> Tensor:
    """World positions of barycentric coordinates."""
    return (barycentric[:, :, None] * vertices[faces]).sum(dim=1)


def test_a_ray_meets_the_near_side_of_a_cube(backend: str, device: torch.device) -> None:
    origins = torch.tensor([[3.0, 0.2, 0.4], [0.0, 0.2, 0.4], [3.0, 1.2, 0.4], [3.0, 0.2, 0.4]], device=device)
    directions = torch.tensor([[-1.0, 0.0, 0.0]] * 3 + [[1.0, 0.0, 0.0]], device=device)
    hits = RayCaster(*cube(device), backend=backend).cast(Rays(origins, directions))
    torch.testing.assert_close(hits.distance.cpu(), torch.tensor([2.0, 1.0, math.inf, math.inf]))
    assert hits.face[0].item() in (2, 3) and hits.face[1].item() in (0, 1)
    assert hits.face[2:].tolist() == [-1, -1] and not hits.barycentric[2:].any()


def test_barycentric_coordinates_give_the_point_on_the_ray(backend: str, device: torch.device) -> None:
    vertices, faces = cube(device)
    rays = camera_rays(device)
    hits = RayCaster(vertices, faces, backend=backend).cast(rays)
    hit = hits.face >= 0
    expected = rays.origins[hit] + hits.distance[hit, None] * rays.directions[hit]
    torch.testing.assert_close(
        points_of(faces[hits.face[hit]], vertices, hits.barycentric[hit]), expected, rtol=0, atol=1e-5
    )


def test_distances_to_a_fine_sphere_are_those_of_the_quadratic(backend: str, device: torch.device) -> None:
    rays = camera_rays(device)
    hits = RayCaster(*sphere(device, 32, 64), backend=backend).cast(rays)
    half = (rays.origins * rays.directions).sum(dim=1)
    discriminant = half.square() - rays.origins.square().sum(dim=1) + 1.0
    is_clear_hit, is_clear_miss = discriminant > 0.05, discriminant < -0.05
    assert bool(hits.distance[is_clear_miss].isinf().all()) and bool(is_clear_miss.any())
    expected = -half[is_clear_hit] - discriminant[is_clear_hit].sqrt()
    torch.testing.assert_close(hits.distance[is_clear_hit], expected, rtol=0, atol=2e-2)


def test_warp_agrees_with_torch(warp_backend: str, device: torch.device, generator: torch.Generator) -> None:
    mesh, rays = sphere(device), camera_rays(device)
    first, second = (RayCaster(*mesh, backend=name).cast(rays) for name in (warp_backend, "torch"))
    same = first.face == second.face
    assert same.float().mean() > 0.99  # a ray through an edge may take either side
    torch.testing.assert_close(first.distance[same], second.distance[same], rtol=0, atol=1e-4)
    torch.testing.assert_close(first.barycentric[same], second.barycentric[same], rtol=0, atol=1e-3)


def test_points_inside_a_cube_are_told_from_points_outside(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    points = (4.0 * torch.rand(2000, 3, generator=generator) - 2.0).to(device)
    expected = (points.abs() < 1.0).all(dim=1)
    assert torch.equal(RayCaster(*cube(device), backend=backend).inside(points), expected)


def test_the_winding_number_bridges_a_missing_face(backend: str, device: torch.device) -> None:
    vertices, faces = cube(device)
    points = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.5, -0.5], [2.5, 0.0, 0.0], [0.0, 3.0, 0.0]], device=device)
    caster = RayCaster(vertices, faces[:-1], backend=backend)
    assert caster.inside(points).tolist() == [True, True, False, False]


def test_nearest_points_of_a_cube_are_those_of_its_faces_edges_and_corners(backend: str, device: torch.device) -> None:
    vertices, faces = cube(device)
    points = torch.tensor([[3.0, 0.2, -0.4], [2.0, 3.0, 0.4], [2.0, -3.0, 4.0], [0.1, -0.7, 0.2]], device=device)
    expected = torch.tensor([[1.0, 0.2, -0.4], [1.0, 1.0, 0.4], [1.0, -1.0, 1.0], [0.1, -1.0, 0.2]], device=device)
    nearest = RayCaster(vertices, faces, backend=backend).nearest(points)
    torch.testing.assert_close(points_of(faces[nearest.face], vertices, nearest.barycentric), expected)
    torch.testing.assert_close(nearest.distance, (points - expected).norm(dim=1))


def test_warp_and_torch_find_points_equally_near(
    warp_backend: str, device: torch.device, generator: torch.Generator
) -> None:
    vertices, faces = sphere(device)
    points = (3.0 * torch.rand(1000, 3, generator=generator) - 1.5).to(device)
    first, second = (RayCaster(vertices, faces, backend=name).nearest(points) for name in (warp_backend, "torch"))
    torch.testing.assert_close(first.distance, second.distance, rtol=0, atol=1e-5)
    for found in (first, second):
        reached = (points_of(faces[found.face], vertices, found.barycentric) - points).norm(dim=1)
        torch.testing.assert_close(reached, found.distance, rtol=0, atol=1e-5)
        assert bool((found.barycentric > -1e-5).all())


def test_later_changes_of_the_vertices_are_not_seen(backend: str, device: torch.device) -> None:
    vertices, faces = cube(device)
    caster = RayCaster(vertices, faces, backend=backend)
    vertices *= 0.0
    rays = Rays(torch.tensor([[3.0, 0.2, 0.4]], device=device), torch.tensor([[-1.0, 0.0, 0.0]], device=device))
    torch.testing.assert_close(caster.cast(rays).distance.cpu(), torch.tensor([2.0]))


def test_no_rays_and_no_points_give_empty_answers(backend: str, device: torch.device) -> None:
    caster = RayCaster(*cube(device), backend=backend)
    nothing = torch.zeros(0, 3, device=device)
    assert len(caster.cast(Rays(nothing, nothing))) == 0
    assert caster.inside(nothing).shape == (0,)
    assert len(caster.nearest(nothing)) == 0


def test_meshes_that_cannot_be_are_refused() -> None:
    vertices, faces = cube(torch.device("cpu"))
    with pytest.raises(ValueError, match="no faces"):
        RayCaster(vertices, faces[:0])
    with pytest.raises(ValueError, match="vertices from 0 to 7, but the mesh has 4"):
        RayCaster(vertices[:4], faces)
