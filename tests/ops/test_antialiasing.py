"""Antialiased outlines against exact areas, supersampled images and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from meshes import icosphere, orbiting, seen_at, soup
from torch import Tensor

from framework.ops.antialiasing import antialias
from framework.ops.rasterization import Fragments, rasterize
from framework.structures.cameras import Cameras

SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])


def opacity(vertices: Tensor, faces: Tensor, cameras: Cameras) -> Tensor:
    """Antialiased coverage (B, H, W)."""
    fragments = rasterize(vertices, faces, cameras)
    return antialias(fragments.is_covered.to(vertices.dtype)[..., None], fragments, vertices, faces, cameras)[..., 0]


def supersampled(vertices: Tensor, faces: Tensor, cameras: Cameras, scale: int = 16) -> Tensor:
    """Coverage (B, H, W) by counting `scale`^2 rays for each pixel."""
    height, width = cameras.height, cameras.width
    fine = replace(cameras, height=height * scale, width=width * scale)
    covered = rasterize(vertices, faces, fine).is_covered.float()
    return covered.view(-1, height, scale, width, scale).mean(dim=(2, 4))


def square(cameras: Cameras, left: float, top: float, right: float, bottom: float, depth: float = 2.0) -> Tensor:
    """Four corners of what covers these pixels."""
    return seen_at(cameras, [(left, top), (right, top), (right, bottom), (left, bottom)], depth)


def covered_share(low: float, high: float, size: int) -> Tensor:
    """The part of each pixel in a line that lies between two places."""
    start = torch.arange(size)
    return ((start + 1).clamp(max=high) - start.clamp(min=low)).clamp(min=0.0)


def test_a_square_covers_its_exact_share_of_every_pixel(device: torch.device) -> None:
    cameras = orbiting(0.4, size=16)
    vertices = square(cameras, 3.25, 4.3, 9.6, 9.8)
    expected = covered_share(4.3, 9.8, 16)[:, None] * covered_share(3.25, 9.6, 16)
    (found,) = opacity(vertices.to(device), SQUARE.to(device), cameras.to(device)).cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0.0)


def test_edges_between_pixel_centers_cover_the_pixels_beyond(device: torch.device) -> None:
    cameras = orbiting(0.4, size=16)
    vertices = square(cameras, 3.7, 4.0, 9.2, 10.0)
    expected = covered_share(4.0, 10.0, 16)[:, None] * covered_share(3.7, 9.2, 16)
    (found,) = opacity(vertices.to(device), SQUARE.to(device), cameras.to(device)).cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("axis", [0, 1])
def test_moving_a_square_covers_as_much_as_its_edges_are_long(device: torch.device, axis: int) -> None:
    cameras = orbiting(0.0, size=16, elevation=0.0).to(device)  # +y of the world is right in the image, +z is up
    vertices = square(cameras, 3.3, 4.0, 9.4, 11.0) if axis == 0 else square(cameras, 4.0, 3.3, 11.0, 9.4)
    shift = torch.zeros(3, device=device, requires_grad=True)
    image = opacity(vertices + shift, SQUARE.to(device), cameras)[0]
    beyond = image[:, 8:] if axis == 0 else image[8:]
    (gradient,) = torch.autograd.grad(beyond.sum(), shift)
    pixels_per_unit = 8.0 / math.tan(0.4) / 2.0
    expected = [0.0, 7.0 * pixels_per_unit, 0.0] if axis == 0 else [0.0, 0.0, -7.0 * pixels_per_unit]
    torch.testing.assert_close(gradient.cpu()[1:], torch.tensor(expected)[1:], atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("turn", [0.0, 0.3, math.pi / 4.0, 1.2])
def test_a_turned_square_covers_its_area_and_grows_by_its_outline(device: torch.device, turn: float) -> None:
    cameras = orbiting(0.0, size=48, elevation=0.0)
    angles = turn + torch.arange(4) * math.pi / 2.0
    pixels = torch.stack([24.2 + 15.0 * angles.cos(), 23.9 + 15.0 * angles.sin()], dim=1)
    vertices = seen_at(cameras, [tuple(pixel) for pixel in pixels.tolist()], 2.0).to(device)
    middle, scale = vertices.mean(dim=0), torch.ones((), device=device, requires_grad=True)
    total = opacity(middle + scale * (vertices - middle), SQUARE.to(device), cameras.to(device)).sum()
    (gradient,) = torch.autograd.grad(total, scale)
    area = 2.0 * 15.0**2
    assert abs(total.item() - area) < 0.005 * area
    assert abs(gradient.item() - 2.0 * area) < 0.03 * 2.0 * area


@pytest.mark.parametrize("subdivisions", [2, 4, 5])
def test_outlines_are_found_however_fine_the_mesh(device: torch.device, subdivisions: int) -> None:
    vertices, faces = (value.to(device) for value in icosphere(subdivisions))  # to 20,480 faces on 1,024 pixels
    cameras, radius = orbiting(0.3).to(device), torch.ones((), device=device, requires_grad=True)
    image = opacity(radius * vertices, faces, cameras)
    (gradient,) = torch.autograd.grad(image.sum(), radius)
    low, exact, high = (supersampled(size * vertices, faces, cameras) for size in (0.98, 1.0, 1.02))
    assert abs((image - exact).sum().item()) < 0.003 * exact.sum()
    hard = rasterize(vertices, faces, cameras).is_covered.float()
    assert (image - exact).abs().sum() < 0.2 * (hard - exact).abs().sum()
    difference = (high.sum() - low.sum()).item() / 0.04
    assert abs(gradient.item() - difference) < 0.03 * difference


def test_gradients_equal_differences_of_a_supersampled_image(device: torch.device) -> None:
    vertices, faces = (value.to(device) for value in icosphere(3))
    cameras = orbiting(0.3, size=48).to(device)
    weight = torch.rand(1, 48, 48, generator=torch.Generator().manual_seed(0)).to(device).cumsum(dim=2)
    stretch = torch.tensor([0.9, 1.1, 0.8], device=device, requires_grad=True)
    (gradient,) = torch.autograd.grad((weight * opacity(vertices * stretch, faces, cameras)).sum(), stretch)
    expected = []
    for axis in range(3):
        step = torch.zeros(3, device=device)
        step[axis] = 0.02
        more, less = (supersampled(vertices * (stretch.detach() + sign * step), faces, cameras) for sign in (1, -1))
        expected.append((weight * (more - less)).sum() / 0.04)
    torch.testing.assert_close(gradient, torch.stack(expected), rtol=0.03, atol=0.02 * float(gradient.abs().amax()))


def test_derivatives_in_image_and_vertices_equal_finite_differences(generator: torch.Generator) -> None:
    vertices, faces = (part.double() if part.is_floating_point() else part for part in icosphere(0))
    cameras = orbiting(0.3, 1.2, size=6).map(lambda value: value.double())
    fragments = rasterize(vertices, faces, cameras, backend="torch")
    image = torch.rand(2, 6, 6, 1, generator=generator, dtype=torch.float64)
    inputs = (image.requires_grad_(), vertices.requires_grad_())
    assert torch.autograd.gradcheck(lambda *given: antialias(given[0], fragments, given[1], faces, cameras), inputs)


def test_colors_stay_in_the_range_of_the_image(device: torch.device, generator: torch.Generator) -> None:
    vertices, faces = (part.to(device) for part in soup(200, generator))
    cameras = orbiting(0.3, 1.9).to(device)
    fragments = rasterize(0.3 * vertices, faces, cameras)  # many are smaller than a pixel
    image = torch.rand(2, 32, 32, 3, generator=generator).to(device).round()
    smooth = antialias(image, fragments, 0.3 * vertices, faces, cameras)
    assert (smooth != image).float().mean() > 0.05
    assert smooth.min() >= 0.0 and smooth.max() <= 1.0


def test_inside_an_outline_nothing_is_blended(device: torch.device, generator: torch.Generator) -> None:
    vertices, faces = (part.to(device) for part in icosphere(4))
    cameras = orbiting(0.3).to(device)
    fragments = rasterize(vertices, faces, cameras)
    image = torch.rand(1, 32, 32, 3, generator=generator).to(device)
    changed = (antialias(image, fragments, vertices, faces, cameras) != image).any(dim=-1)
    covered = fragments.is_covered.float()[:, None]
    neighbours = torch.nn.functional.avg_pool2d(covered, 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    is_inner = neighbours > 0.999
    assert is_inner.sum() > 400 and not changed[is_inner].any() and changed.sum() > 50


def test_hidden_outlines_do_not_show(device: torch.device, generator: torch.Generator) -> None:
    cameras = orbiting(0.4, size=16)
    front, behind = square(cameras, 2.2, 2.4, 13.3, 13.6, 1.0), square(cameras, 5.3, 5.7, 9.4, 9.6, 2.0)
    image = torch.rand(1, 16, 16, 3, generator=generator)
    both, alone = torch.cat([front, behind]), torch.cat([SQUARE, SQUARE + 4])
    smooth = [
        antialias(image, rasterize(vertices, faces, cameras), vertices, faces, cameras)
        for vertices, faces in ((both, alone), (front, SQUARE))
    ]
    assert torch.equal(smooth[0], smooth[1])


def test_of_two_outlines_in_one_gap_the_outer_one_bounds_what_is_covered(device: torch.device) -> None:
    cameras = orbiting(0.4, size=16).to(device)
    vertices = torch.cat([square(cameras, 3.0, 3.0, 9.6, 9.0, 1.0), square(cameras, 5.0, 3.0, 9.9, 9.0, 2.0)])
    image = opacity(vertices, torch.cat([SQUARE, SQUARE + 4]).to(device), cameras)[0].cpu()
    expected = covered_share(3.0, 9.0, 16)[:, None] * covered_share(3.0, 9.9, 16)
    torch.testing.assert_close(image, expected, atol=1e-4, rtol=0.0)


def test_an_outline_belongs_to_the_nearer_pixel_only_where_its_surface_is_on_that_side(device: torch.device) -> None:
    cameras = orbiting(0.4, size=16).to(device)
    vertices = torch.cat([square(cameras, 3.0, 3.0, 9.6, 9.0, 1.0), square(cameras, 9.9, 3.0, 14.0, 9.0, 2.0)])
    faces = torch.cat([SQUARE, SQUARE + 4]).to(device)
    fragments = rasterize(vertices, faces, cameras)
    image = torch.where(fragments.face[..., None] < 2, 1.0, 0.25)
    smooth = antialias(image, fragments, vertices, faces, cameras)[0, 4, 9:11, 0].cpu()
    torch.testing.assert_close(smooth, torch.tensor([0.6 + 0.4 * 0.25, 0.25]), atol=1e-4, rtol=0.0)


def test_an_outline_before_another_surface_mixes_their_colors(device: torch.device) -> None:
    cameras = orbiting(0.4, size=16).to(device)
    vertices = torch.cat([square(cameras, 3.25, 3.0, 9.6, 9.0, 1.0), square(cameras, 0.0, 0.0, 16.0, 16.0, 2.0)])
    faces = torch.cat([SQUARE, SQUARE + 4]).to(device)
    fragments = rasterize(vertices, faces, cameras)
    image = torch.where(fragments.face[..., None] < 2, 1.0, 0.25)
    smooth = antialias(image, fragments, vertices, faces, cameras)[0, :, :, 0].cpu()
    expected = 0.25 + 0.75 * covered_share(3.0, 9.0, 16)[:, None] * covered_share(3.25, 9.6, 16)
    torch.testing.assert_close(smooth, expected, atol=1e-4, rtol=0.0)


def test_edges_that_pass_beside_the_camera_are_followed_to_its_plane(device: torch.device) -> None:
    cameras = orbiting(0.0, size=24, elevation=0.0).to(device)  # stands at (3, 0, 0) and looks along -x
    vertices = torch.tensor([[20.0, -1.0, -0.5], [20.0, 1.5, -0.5], [-30.0, 1.5, -0.5], [-30.0, -1.0, -0.5]])
    vertices = vertices.to(device).requires_grad_()
    image = opacity(vertices, SQUARE.to(device), cameras)
    exact = supersampled(vertices.detach(), SQUARE.to(device), cameras)
    assert (image - exact).abs().max() < 0.1 and (image - exact).abs().mean() < 0.002
    (gradient,) = torch.autograd.grad(image.sum(), vertices)
    assert bool(gradient.isfinite().all()) and bool(gradient.any())


def test_a_batch_of_two_equals_two_batches_of_one(device: torch.device, generator: torch.Generator) -> None:
    vertices, faces = (part.to(device) for part in soup(40, generator))
    cameras = orbiting(0.3, 1.9).to(device)
    both = opacity(vertices, faces, cameras)
    for view in range(2):
        torch.testing.assert_close(both[view], opacity(vertices, faces, cameras[view])[0], atol=1e-5, rtol=0.0)


def test_an_empty_image_stays_as_it_is_and_differentiable(device: torch.device, generator: torch.Generator) -> None:
    cameras = orbiting(0.3, size=6).to(device)
    vertices = (seen_at(cameras, [(1.0, 1.0), (5.0, 1.0), (1.0, 5.0)], -2.0)).requires_grad_()
    faces = torch.tensor([[0, 1, 2]], device=device)
    image = torch.rand(1, 6, 6, 3, generator=generator).to(device).requires_grad_()
    smooth = antialias(image, rasterize(vertices, faces, cameras), vertices, faces, cameras)
    assert torch.equal(smooth, image)
    grads = torch.autograd.grad(smooth.sum(), (image, vertices))
    assert bool((grads[0] == 1.0).all()) and not bool(grads[1].any())


def test_an_image_of_another_size_is_refused() -> None:
    vertices, faces = icosphere(0)
    cameras = orbiting(0.3, size=6)
    fragments = rasterize(vertices, faces, cameras)
    with pytest.raises(ValueError, match=r"image and fragments differ in \(B, H, W\): \(1, 5, 6\) and \(1, 6, 6\)"):
        antialias(torch.zeros(1, 5, 6, 3), fragments, vertices, faces, cameras)


def overlap(first: Tensor, second: Tensor) -> float:
    """Intersection over union of two silhouettes."""
    return float(torch.minimum(first, second).sum() / torch.maximum(first, second).sum())


def test_a_sphere_is_fitted_to_the_silhouettes_of_an_ellipsoid() -> None:
    sphere, faces = icosphere(2)
    target = sphere * torch.tensor([0.8, 0.5, 1.0]) + torch.tensor([0.1, -0.05, 0.15])
    cameras = orbiting(0.0, 1.3, 2.6, 3.9, 5.2, elevation=0.4)
    wanted = supersampled(target, faces, cameras)
    scale, offset = torch.full((3,), 0.7, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([scale, offset], lr=0.02)
    for _ in range(90):
        optimizer.zero_grad()
        (opacity(sphere * scale + offset, faces, cameras) - wanted).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(scale, torch.tensor([0.8, 0.5, 1.0]), atol=0.01, rtol=0.0)
    torch.testing.assert_close(offset, torch.tensor([0.1, -0.05, 0.15]), atol=0.01, rtol=0.0)


def test_free_vertices_settle_on_the_silhouettes_of_an_ellipsoid() -> None:
    sphere, faces = icosphere(2, radius=0.7)
    target = icosphere(4)[0] * torch.tensor([0.8, 0.5, 1.0]), icosphere(4)[1]
    cameras = orbiting(*(0.8 * view for view in range(8)), elevation=0.4)
    unseen = orbiting(0.4, 2.0, 5.2, elevation=0.2)
    wanted = supersampled(*target, cameras)
    vertices = sphere.clone().requires_grad_()
    optimizer = torch.optim.Adam([vertices], lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        (opacity(vertices, faces, cameras) - wanted).square().sum().backward()
        optimizer.step()
    final = vertices.detach()
    assert overlap(opacity(sphere, faces, cameras), wanted) < 0.85
    assert overlap(opacity(final, faces, cameras), wanted) > 0.97
    assert overlap(opacity(final, faces, unseen), supersampled(*target, unseen)) > 0.93


def test_fragments_are_constants_of_antialiasing(device: torch.device) -> None:
    vertices, faces = (part.to(device) for part in icosphere(2))
    cameras = orbiting(0.3).to(device)
    fragments = rasterize(vertices.requires_grad_(), faces, cameras)
    image = fragments.is_covered.float()[..., None]
    kept, cut = (
        torch.autograd.grad(antialias(image, given, vertices, faces, cameras).sum(), vertices, retain_graph=True)[0]
        for given in (fragments, Fragments(fragments.face, fragments.barycentric.detach(), fragments.depth.detach()))
    )
    assert torch.equal(kept, cut)
