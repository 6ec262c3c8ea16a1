"""Rasterization against closed forms, ray casts and its torch twin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jaxtyping
import pytest
import torch
from meshes import icosphere, orbiting, seen_at, soup
from torch import Tensor

from framework.ops.mesh_raycasting import RayCaster
from framework.ops.rasterization import Fragments, interpolate, rasterize
from framework.structures.cameras import Cameras

ONE_TRIANGLE = torch.tensor([[0, 1, 2]])


def on(device: torch.device, *records: Any) -> list[Any]:
    return [record.to(device) for record in records]


def results(
    vertices: Tensor, faces: Tensor, cameras: Cameras, values: Tensor, *, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """All that is differentiable."""
    fragments = rasterize(vertices, faces, cameras, backend=backend)
    return fragments.barycentric, fragments.depth, interpolate(values, faces, fragments, backend=backend)


@contextmanager
def jaxtyping_off() -> Iterator[None]:
    """As outside of the tests, where annotations are not checked."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_a_triangle_covers_the_pixels_whose_centers_it_holds_in_known_shares(
    backend: str, device: torch.device
) -> None:
    cameras = orbiting(0.7, size=16)
    vertices = seen_at(cameras, [(2.0, 2.0), (10.25, 2.0), (2.0, 10.25)], 2.0)
    fragments = rasterize(vertices.to(device), ONE_TRIANGLE.to(device), cameras.to(device), backend=backend).to("cpu")
    center = torch.arange(16) + 0.5
    second, third = ((center - 2.0) / 8.25).expand(16, 16), ((center - 2.0) / 8.25)[:, None].expand(16, 16)
    shares = torch.stack([1.0 - second - third, second, third], dim=-1)
    is_inside = (shares >= 0.0).all(dim=-1)
    assert torch.equal(fragments.face[0], torch.where(is_inside, 0, -1)) and int(is_inside.sum()) == 36
    torch.testing.assert_close(
        fragments.barycentric[0], shares * is_inside[..., None], atol=1e-5, rtol=0.0
    )  # all corners are equally deep
    lengths = (cameras.rays().directions @ -cameras.camera_to_world[0, :3, 2]).reciprocal().view(16, 16)
    torch.testing.assert_close(fragments.depth[0], 2.0 * lengths * is_inside, atol=1e-5, rtol=0.0)


def test_shares_are_correct_in_perspective(backend: str, device: torch.device) -> None:
    cameras, faces = orbiting(0.7).to(device), ONE_TRIANGLE.to(device)
    vertices = seen_at(cameras, [(1.0, 2.0), (30.0, 5.0), (8.0, 31.0)], [0.3, 4.0, 1.5])
    fragments = rasterize(vertices, faces, cameras, backend=backend)
    slope = torch.tensor([[0.3, -2.0], [1.0, 0.7], [0.2, 0.4]], device=device)
    values = interpolate(vertices @ slope + 1.5, faces, fragments, backend=backend)
    rays = cameras.rays()
    points = rays.origins + rays.directions * fragments.depth.view(-1, 1)
    is_covered = fragments.is_covered.flatten()
    assert is_covered.float().mean() > 0.3
    expected = (points @ slope + 1.5) * is_covered[:, None]
    torch.testing.assert_close(values.view(-1, 2), expected, atol=2e-5, rtol=1e-5)


def test_depth_of_a_fine_sphere_is_that_of_the_quadratic(device: torch.device) -> None:
    cameras = orbiting(0.3, 1.9)
    fragments = rasterize(*on(device, *icosphere(5), cameras)).to("cpu")
    rays = cameras.rays()
    half = (rays.origins * rays.directions).sum(dim=1)
    discriminant = half.square() - rays.origins.square().sum(dim=1) + 1.0
    is_clear_hit = discriminant > 0.02
    expected = -half[is_clear_hit] - discriminant[is_clear_hit].sqrt()
    torch.testing.assert_close(fragments.depth.flatten()[is_clear_hit], expected, atol=5e-3, rtol=0.0)
    assert not fragments.is_covered.flatten()[discriminant < 0.0].any()
    assert not fragments.depth.flatten()[discriminant < 0.0].any()


def test_rays_cast_at_the_same_mesh_hit_the_same_triangles(
    backend: str, device: torch.device, generator: torch.Generator
) -> None:
    vertices, faces, cameras = on(device, *soup(60, generator), orbiting(0.3, 1.9, 4.0))
    fragments = rasterize(vertices, faces, cameras, backend=backend)
    hits = RayCaster(vertices, faces).cast(cameras.rays())
    same = hits.face == fragments.face.flatten()
    assert same.float().mean() > 0.999 and 0.2 < fragments.is_covered.float().mean() < 0.9
    is_hit = same & (hits.face >= 0)
    torch.testing.assert_close(fragments.depth.flatten()[is_hit], hits.distance[is_hit], atol=1e-4, rtol=1e-4)
    barycentric = fragments.barycentric.view(-1, 3)
    torch.testing.assert_close(barycentric[is_hit], hits.barycentric[is_hit], atol=5e-3, rtol=0.0)


def test_a_floor_that_passes_under_the_camera_is_drawn_up_to_the_horizon(backend: str, device: torch.device) -> None:
    cameras = orbiting(0.0, size=24, elevation=0.0)  # stands at (3, 0, 0) and looks along -x
    vertices = torch.tensor([[50.0, -80.0, -0.5], [50.0, 80.0, -0.5], [-100.0, 0.0, -0.5]])
    fragments = rasterize(*on(device, vertices, ONE_TRIANGLE, cameras), backend=backend).to("cpu")
    rays = cameras.rays()
    distance = (-0.5 - rays.origins[:, 2]) / rays.directions[:, 2]
    points = rays.origins + distance[:, None] * rays.directions
    is_hit = (distance > 0.0) & (points[:, 1].abs() <= 80.0 * (points[:, 0] + 100.0) / 150.0)
    assert torch.equal(fragments.is_covered.flatten(), is_hit) and int(is_hit.sum()) == 12 * 24
    torch.testing.assert_close(fragments.depth.flatten()[is_hit], distance[is_hit], atol=1e-4, rtol=1e-4)


def test_what_lies_behind_the_camera_is_not_seen(backend: str, device: torch.device) -> None:
    cameras = orbiting(0.0).to(device)
    vertices = seen_at(cameras, [(2.0, 2.0), (30.0, 2.0), (2.0, 30.0)], -2.0)
    fragments = rasterize(vertices, ONE_TRIANGLE.to(device), cameras, backend=backend)
    assert not fragments.is_covered.any() and not fragments.depth.any() and not fragments.barycentric.any()


def test_the_nearer_of_two_triangles_is_seen_from_either_side(backend: str, device: torch.device) -> None:
    cameras = orbiting(0.0).to(device)
    pixels = [(2.0, 2.0), (30.25, 2.0), (2.0, 30.25)]
    vertices = torch.cat([seen_at(cameras, pixels, 2.0), seen_at(cameras, pixels, 1.0), seen_at(cameras, pixels, 3.0)])
    faces = torch.tensor([[0, 1, 2], [3, 5, 4], [6, 7, 8]], device=device)  # the middle one is turned away
    fragments = rasterize(vertices, faces, cameras, backend=backend)
    assert fragments.face.unique().tolist() == [-1, 1]


def test_neighbours_leave_no_gap_between_them(backend: str, device: torch.device, generator: torch.Generator) -> None:
    side = 12
    line = torch.linspace(-2.0, 34.0, side)
    v, u = torch.meshgrid(line, line, indexing="ij")
    inner = torch.zeros(side, side)
    inner[1:-1, 1:-1] = 1.0
    jitter = torch.randint(-2, 3, (2, side, side), generator=generator) * inner * 0.5  # corners on pixel centres, too
    pixels = torch.stack([u + jitter[0], v + jitter[1]], dim=-1).round(decimals=0).add(0.5).reshape(-1, 2)
    cameras = orbiting(0.9).to(device)
    vertices = seen_at(cameras, [tuple(pixel) for pixel in pixels.tolist()], 2.0)
    index = torch.arange(side * side, device=device).view(side, side)
    a, b, c, d = (part.flatten() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    faces = torch.cat([torch.stack([a, b, c], dim=1), torch.stack([b, d, c], dim=1)])
    assert rasterize(vertices, faces, cameras, backend=backend).is_covered.all()


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_warp_agrees_with_torch_in_values_and_in_gradients_through_every_result(
    warp_backend: str, device: torch.device, generator: torch.Generator, channels: int
) -> None:
    vertices, faces = icosphere(3)
    vertices = (vertices * (1.0 + 0.05 * torch.randn(len(vertices), 1, generator=generator))).to(device)
    values = torch.randn(len(vertices), channels, generator=generator).to(device)
    cameras, inputs = orbiting(0.3, 1.9).to(device), (vertices.requires_grad_(), values.requires_grad_())
    first, second = (
        results(vertices, faces.to(device), cameras, values, backend=name) for name in (warp_backend, "torch")
    )
    same = ((first[0] - second[0]).abs().amax(dim=-1) < 0.01).detach()
    assert same.float().mean() > 0.995  # a pixel on an edge may see either side
    for mine, reference in zip(first, second, strict=True):
        weight = torch.randn(reference.shape, generator=generator).to(device)
        weight = weight * (same if weight.dim() == 3 else same[..., None])
        torch.testing.assert_close(mine * weight, reference * weight, rtol=1e-4, atol=5e-4)
        grads = (
            torch.autograd.grad(output, inputs, weight, retain_graph=True, materialize_grads=True)
            for output in (mine, reference)
        )
        for own, other in zip(*grads, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4 * float(other.abs().amax()))


def test_torch_gradients_agree_with_finite_differences(generator: torch.Generator) -> None:
    vertices, faces = icosphere(1)
    cameras = orbiting(0.3, size=6).map(lambda value: value.double())
    values = torch.randn(len(vertices), 2, generator=generator, dtype=torch.float64).requires_grad_()

    def outputs(vertices: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        return results(vertices, faces, cameras, values, backend="torch")

    assert torch.autograd.gradcheck(outputs, (vertices.double().requires_grad_(), values))


def test_a_batch_of_two_equals_two_batches_of_one(backend: str, device: torch.device) -> None:
    vertices, faces, cameras = on(device, *icosphere(2), orbiting(0.3, 1.9))
    both = rasterize(vertices, faces, cameras, backend=backend)
    alone = [rasterize(vertices, faces, cameras[view], backend=backend) for view in range(2)]
    joined = Fragments.concatenate(alone)
    assert torch.equal(both.face, joined.face)
    torch.testing.assert_close(both.barycentric, joined.barycentric, atol=1e-4, rtol=0.0)
    torch.testing.assert_close(both.depth, joined.depth)


def test_turning_mesh_and_camera_together_changes_nothing(backend: str, device: torch.device) -> None:
    vertices, faces = icosphere(2)
    vertices[:, 0] *= 0.6
    turn, c, s = 0.8, math.cos(0.8), math.sin(0.8)
    rotation = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    first = rasterize(*on(device, vertices, faces, orbiting(0.3)), backend=backend)
    turned = on(device, vertices @ rotation.T, faces, orbiting(0.3 + turn))
    second = rasterize(*turned, backend=backend)
    assert (first.face == second.face).float().mean() > 0.995
    torch.testing.assert_close(first.depth, second.depth, atol=2e-3, rtol=0.0)


def test_images_need_not_be_square(backend: str, device: torch.device) -> None:
    square = orbiting(0.3, size=20)
    wide = replace(square, width=44)
    vertices, faces = on(device, *icosphere(2))
    first, second = (rasterize(vertices, faces, cameras.to(device), backend=backend) for cameras in (square, wide))
    torch.testing.assert_close(second.depth[:, :, 12:32], first.depth, atol=1e-4, rtol=0.0)


def test_cpu_results_are_bit_equal_whatever_the_number_of_threads(generator: torch.Generator) -> None:
    pytest.importorskip("warp", reason="Warp is not installed")
    vertices, faces = icosphere(4)
    values = torch.randn(len(vertices), 3, generator=generator).requires_grad_()
    vertices.requires_grad_()
    runs, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            outputs = results(vertices, faces, orbiting(0.3, 1.9, size=128), values, backend="warp")
            total = sum(output.square().sum() for output in outputs)
            runs.append((*outputs, *torch.autograd.grad(total, (vertices, values))))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in runs[1:] for a, b in zip(runs[0], other, strict=True))


def test_half_precision_is_computed_as_float32(backend: str, device: torch.device, generator: torch.Generator) -> None:
    vertices, faces, cameras = on(device, *icosphere(2), orbiting(0.3))
    values = torch.randn(len(vertices), 2, generator=generator).to(device).bfloat16()
    fragments = rasterize(vertices, faces, cameras, backend=backend)
    half = interpolate(values, faces, fragments, backend=backend)
    single = interpolate(values.float(), faces, fragments, backend=backend)
    assert half.dtype == torch.float32 and torch.equal(half, single)


def test_autocast_does_not_lower_the_precision(backend: str, device: torch.device) -> None:
    vertices, faces, cameras = on(device, *icosphere(2), orbiting(0.3))
    arguments = vertices, faces, cameras, vertices
    with torch.autocast(device.type, dtype=torch.bfloat16):
        inside = results(*arguments, backend=backend)
    outside = results(*arguments, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


def test_a_gradient_of_a_gradient_is_refused_where_it_would_be_wrong(warp_backend: str, device: torch.device) -> None:
    vertices, faces, cameras = on(device, *icosphere(1), orbiting(0.3, size=8))
    vertices.requires_grad_()
    depth = rasterize(vertices, faces, cameras, backend=warp_backend).depth
    with pytest.raises(RuntimeError, match=r"rasterization: .*create_graph=True"):
        torch.autograd.grad(depth.square().sum(), vertices, create_graph=True)


def test_meshes_that_cannot_be_are_refused() -> None:
    vertices, faces = icosphere(0)
    cameras = orbiting(0.3, size=4)
    with pytest.raises(ValueError, match="no faces"):
        rasterize(vertices, faces[:0], cameras)
    with pytest.raises(ValueError, match="vertices from 0 to 11, but there are 4 vertices"):
        rasterize(vertices[:4], faces, cameras)
    with jaxtyping_off(), pytest.raises(ValueError, match=r"faces \(F, 3\), got \(12, 3\) and \(20, 2\)"):
        rasterize(vertices, faces[:, :2], cameras)
    fragments = rasterize(vertices, faces, cameras)
    with pytest.raises(ValueError, match="vertices from 0 to 11, but there are 4 rows of values"):
        interpolate(vertices[:4], faces, fragments)
    vertices[3, 1], vertices[5] = math.nan, math.inf
    with pytest.raises(ValueError, match="2 of 12 vertices are not finite"):
        rasterize(vertices, faces, cameras)
