"""What a ControlNet follows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from framework.core.errors import MissingBuffer
from framework.diffusion.control_images import canny_edges, control_image, inverse_depth, seen_normals
from framework.structures.cameras import Cameras
from framework.structures.render_output import RenderOutput

SIZE = 33


def cameras(azimuth: float = 0.0, elevation: float = 0.0) -> Cameras:
    one = torch.ones(1)
    return Cameras.orbit(azimuth * one, elevation * one, 3.0 * one, 0.8 * one, height=SIZE, width=SIZE)


def sphere(seen: Cameras, radius: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Distance along the rays, opacity and world normals of a sphere at the origin."""
    rays = seen.rays()
    along = (rays.origins * rays.directions).sum(-1)
    under = along**2 - (rays.origins.square().sum(-1) - radius**2)
    hit = under > 0.0
    distance = torch.where(hit, -along - under.clamp(min=0.0).sqrt(), 0.0)
    normal = (rays.origins + distance[:, None] * rays.directions) * hit[:, None]
    shape = (1, SIZE, SIZE)
    return distance.view(*shape, 1), hit.float().view(*shape, 1), normal.view(*shape, 3)


def render(seen: Cameras, **buffers: Tensor) -> RenderOutput:
    depth, opacity, _ = sphere(seen)
    rgb = torch.full((1, SIZE, SIZE, 3), 0.5)
    return RenderOutput(rgb=rgb, opacity=opacity, depth=depth, renderer="none", **buffers)


def test_depth_is_nearest_at_one_and_farthest_at_zero_of_the_object_alone():
    seen = cameras()
    depth, opacity, normal = sphere(seen)
    image = inverse_depth(depth, opacity, seen)
    middle = SIZE // 2
    assert image.shape == (1, SIZE, SIZE, 3)
    assert image[0, middle, middle].tolist() == [1.0] * 3 and image[opacity.expand_as(image) == 0.0].max() == 0.0
    assert image[opacity.expand_as(image) > 0.0].min() == 0.0
    inverse = (1.0 / (3.0 - normal[..., 0]))[opacity[..., 0] > 0.0]  # The camera stands at x = 3 and looks along -x.
    expected = (inverse - inverse.min()) / (inverse.max() - inverse.min())
    assert torch.allclose(image[opacity[..., 0] > 0.0][:, 0], expected, atol=1e-4)


def test_depth_is_that_of_planes_in_front_of_the_camera_and_not_of_spheres_around_it():
    seen = cameras()
    along = -seen.rays().directions.view(1, SIZE, SIZE, 3)[..., :1]
    tilt = torch.linspace(1.0, 2.0, SIZE).view(1, SIZE, 1, 1).expand(1, SIZE, SIZE, 1)
    image = inverse_depth(tilt / along, torch.ones_like(along), seen)
    assert torch.allclose(image[:, :, :1], image[:, :, -1:], atol=1e-5)
    assert torch.allclose(image[0, :, 0, 0], 2.0 / tilt[0, :, 0, 0] - 1.0, atol=1e-5)


def test_depth_weighted_by_opacity_is_divided_by_it_and_nothing_covered_is_black():
    seen = cameras()
    depth, opacity, _ = sphere(seen)
    soft = 0.75 * opacity
    assert torch.allclose(inverse_depth(0.75 * depth, soft, seen), inverse_depth(depth, opacity, seen), atol=1e-5)
    nothing = torch.zeros_like(depth)
    assert inverse_depth(nothing, nothing, seen).abs().max() == 0.0


@pytest.mark.parametrize(("azimuth", "elevation"), [(0.0, 0.0), (1.1, 0.0), (-2.0, 0.6)])
def test_normals_are_blue_to_the_front_red_to_the_left_and_green_to_the_top_from_everywhere(azimuth, elevation):
    seen = cameras(azimuth, elevation)
    _, opacity, normal = sphere(seen)
    image = seen_normals(normal, opacity, seen)[0]
    middle, covered = SIZE // 2, opacity[0, SIZE // 2, :, 0].nonzero()[:, 0]
    left, right = image[middle, covered[0]], image[middle, covered[-1]]
    top = image[opacity[0, :, middle, 0].nonzero()[0, 0], middle]
    front = image[middle, middle]
    assert torch.allclose(front, torch.tensor([0.5, 0.5, 1.0]), atol=0.02)
    assert left[0] > 0.85 > 0.15 > right[0] and top[1] > 0.85
    assert torch.allclose(image[0, 0], torch.tensor([0.5, 0.5, 1.0]))


def test_edges_are_one_pixel_wide_and_where_the_colours_change():
    image = torch.zeros(2, 16, 16, 3)
    image[0, :, 8:] = 1.0
    image[1, 5:, :, 2] = 1.0  # blue alone
    edges = canny_edges(image)
    assert set(edges.unique().tolist()) == {0.0, 1.0}
    assert edges[0, 8, :, 0].nonzero()[:, 0].tolist() in ([7], [8])
    assert edges[1, :, 8, 0].nonzero()[:, 0].tolist() in ([4], [5])
    assert canny_edges(torch.full((1, 8, 8, 3), 0.3)).max() == 0.0


def test_weak_edges_are_kept_where_they_touch_strong_ones():
    """A step that fades from the top to the bottom, and a weak one by itself."""
    image = torch.zeros(1, 32, 32, 3)
    image[0, :, 8:] = torch.linspace(0.5, 0.15, 32)[:, None, None]
    image[0, :, 24:] += 0.13
    edges = canny_edges(image)[0, ..., 0]
    assert edges[2:30, 7:9].amax(dim=1).min() == 1.0  # Sobel: 4 * 255 * 0.15 = 153, below the upper threshold
    assert edges[:, 20:].max() == 0.0
    assert canny_edges(image, (100.0, 130.0))[0, ..., 0][2:30, 22:26].amax(dim=1).min() == 1.0


def test_diagonal_edges_are_whole():
    y, x = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    for inside in (x > y, x + y > 23, (x - 12) ** 2 + (y - 12) ** 2 < 49):
        edges = canny_edges(inside.float()[None, ..., None].expand(-1, -1, -1, 3))[0, ..., 0] > 0.0
        near = torch.nn.functional.max_pool2d(edges.float()[None, None], 3, stride=1, padding=1)[0, 0] > 0.0
        jump = torch.zeros_like(edges)
        jump[:, 1:] |= inside[:, 1:] != inside[:, :-1]
        assert near[jump][4:-4].all()
        assert edges.sum() < 2.5 * jump.sum()


def test_control_images_have_no_gradients_and_say_what_they_miss():
    seen = cameras()
    _, _, normal = sphere(seen)
    whole = render(seen, normal=normal.requires_grad_())
    for kind, side in (("depth", SIZE), ("normal", SIZE), ("canny", 64)):
        image = control_image(kind, whole, seen, size=(64, 64))
        assert image.shape == (1, side, side, 3) and not image.requires_grad
        assert image.min() >= 0.0 and image.max() <= 1.0
    with pytest.raises(MissingBuffer, match="a ControlNet that follows 'normal': needs 'normal'"):
        control_image("normal", render(seen), seen, size=(64, 64))
