"""Rendering: closed forms, invariants, and one implementation against the other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.structures.cameras import Cameras
from framework.toybox.batches import training_batch
from framework.toybox.families import FAMILIES, TOYS
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.parts import box, sphere
from framework.toybox.rendering import render
from framework.toybox.scenes import ObjectSpec, Scene, SceneSpec, build
from framework.toybox.tracing import MAX_PARTS, Lights, ToyImages

IMPLEMENTATIONS = ("warp", "torch")
each_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
BALL_SPEC = SceneSpec((ObjectSpec("sphere"),))
COLOR = (0.8, 0.4, 0.2)


def ball(radius: float = 0.6) -> ScenePack:
    return ScenePack.from_scenes([Scene(BALL_SPEC, (sphere((0, 0, 0), radius, COLOR),))])


def cameras(count: int, *, azimuth_deg: float = 0.0, elevation_deg: float = 0.0, size: int = 64) -> Cameras:
    def full(value: float) -> Tensor:
        return torch.full((count,), value)

    angles = full(math.radians(azimuth_deg)), full(math.radians(elevation_deg))
    return Cameras.orbit(*angles, full(2.5), full(math.radians(45)), height=size, width=size)


def seen(pack: ScenePack, cameras: Cameras, *, implementation: str = "warp", ambient: float = 0.4) -> ToyImages:
    lights = Lights(2.0 * cameras.positions, torch.full((len(pack),), ambient))
    background = torch.tensor([[0.1, 0.2, 0.3]]).expand(len(pack), -1).contiguous()
    return render(pack, cameras=cameras, lights=lights, background=background, implementation=implementation)


@each_implementation
def test_a_ball_covers_the_area_of_its_outline(implementation: str) -> None:
    images = seen(ball(), cameras(1), implementation=implementation)
    tangent = 0.6 / math.sqrt(2.5**2 - 0.6**2)
    focal = 32 / math.tan(math.radians(22.5))
    assert images.opacity.sum() == pytest.approx(math.pi * (focal * tangent) ** 2, rel=0.01)


@each_implementation
def test_depth_and_normals_of_a_ball_are_those_of_ray_and_sphere(implementation: str) -> None:
    view = cameras(1, azimuth_deg=30, elevation_deg=20)
    images = seen(ball(), view, implementation=implementation)
    rays = view.rays()
    along = -(rays.origins * rays.directions).sum(dim=-1)
    squared = 0.6**2 - (rays.origins.norm(dim=-1) ** 2 - along**2)
    depth = (along - squared.clamp(min=0).sqrt()).view(1, 64, 64)
    clear = squared.view(1, 64, 64) > 0.1  # away from the outline, where a pixel sees many depths
    torch.testing.assert_close(images.depth[..., 0][clear], depth[clear], atol=2e-3, rtol=0)
    normals = ((rays.origins + depth.view(-1, 1) * rays.directions) / 0.6).view(1, 64, 64, 3)
    torch.testing.assert_close(images.normals[clear], normals[clear], atol=1e-2, rtol=0)


@each_implementation
def test_shading_is_the_documented_formula(implementation: str) -> None:
    images = seen(ball(), cameras(1, size=65), implementation=implementation, ambient=0.4)
    torch.testing.assert_close(images.rgb[0, 32, 32], torch.tensor(COLOR), atol=2e-3, rtol=0)  # n . l = 1
    flat = seen(ball(), cameras(1, size=65), implementation=implementation, ambient=1.0)
    covered = flat.opacity[..., 0] == 1
    torch.testing.assert_close(flat.rgb[covered], torch.tensor(COLOR).expand(int(covered.sum()), 3))
    dark = images.rgb[0, 32, 32 + 14] / torch.tensor(COLOR)
    normal = images.normals[0, 32, 32 + 14]
    to_light = torch.nn.functional.normalize(torch.tensor([5.0, 0.0, 0.0]) - 0.6 * normal, dim=0)
    torch.testing.assert_close(dark, (0.4 + 0.6 * (normal @ to_light)).expand(3), atol=5e-3, rtol=0)


@each_implementation
def test_what_is_not_covered_shows_the_background(implementation: str) -> None:
    images = seen(ball(), cameras(1), implementation=implementation)
    empty = images.opacity[..., 0] == 0
    torch.testing.assert_close(images.rgb[empty], torch.tensor([0.1, 0.2, 0.3]).expand(int(empty.sum()), 3))
    assert (images.depth[..., 0][empty] == 0).all() and (images.normals[empty] == 0).all()
    torch.testing.assert_close(images.normals[~empty].norm(dim=-1), torch.ones(int((~empty).sum())))


def test_outlines_are_antialiased() -> None:
    """Coverage of a box edge that is slightly turned against the pixel grid grows steadily along the edge."""
    slab = box((0, 0, -1), (0.02, 3, 1), COLOR)
    pack = ScenePack.from_scenes([Scene(BALL_SPEC, (slab,))])
    view = cameras(1)
    angle = math.radians(4)
    roll = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]])
    turned = view.camera_to_world.clone()
    turned[:, :3, :3] = turned[:, :3, :3] @ roll
    opacity = seen(pack, Cameras(turned, view.fov_y, 64, 64)).opacity[0, ..., 0]
    heights = opacity.sum(dim=0)  # covered pixels of each column
    slope = heights.diff()
    assert slope.mean().abs() == pytest.approx(math.tan(angle), rel=0.05)
    assert (slope - slope.mean()).abs().max() <= 0.25  # a jagged edge would step by whole pixels


def test_torch_and_warp_agree_on_every_family() -> None:
    specs = [SceneSpec((ObjectSpec(family),)) for family in FAMILIES]
    pack = ScenePack.from_scenes([build(spec, [0.3] * spec.num_nuisances) for spec in specs])
    view = cameras(len(pack), azimuth_deg=30, elevation_deg=25, size=24)
    warp, twin = (seen(pack, view, implementation=implementation) for implementation in IMPLEMENTATIONS)
    difference = (warp.rgb - twin.rgb).abs().flatten(1).mean(dim=1)
    assert difference.max() < 1e-3, dict(zip(FAMILIES, difference.tolist(), strict=True))


def test_torch_and_warp_agree_on_random_scenes() -> None:
    batch = training_batch(torch.Generator().manual_seed(0), 12, size=32)
    views = batch.views
    twin = render(
        ScenePack.from_scenes(batch.scenes),
        cameras=views.cameras,
        lights=views.lights,
        background=views.background,
        implementation="torch",
    )
    for name in ("rgb", "opacity", "depth", "normals"):
        difference = (getattr(twin, name) - getattr(batch.renders, name)).abs()
        assert difference.mean() < 1e-4, name
        assert (difference > 0.02).float().mean() < 2e-3, name
    assert ((twin.opacity > 0) == (batch.renders.opacity > 0)).float().mean() > 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each_implementation
def test_cuda_agrees_with_the_cpu(implementation: str) -> None:
    batch = training_batch(torch.Generator().manual_seed(0), 8)
    views = batch.views.to("cuda")
    images = render(
        ScenePack.from_scenes(batch.scenes).to("cuda"),
        cameras=views.cameras,
        lights=views.lights,
        background=views.background,
        implementation=implementation,
    )
    assert (images.rgb.cpu() - batch.images).abs().mean() < 1e-4


def test_a_batch_is_its_items_one_by_one() -> None:
    batch = training_batch(torch.Generator().manual_seed(2), 5, size=16)
    for index, scene in enumerate(batch.scenes):
        views = batch.views[index]
        alone = render(
            ScenePack.from_scenes([scene]), cameras=views.cameras, lights=views.lights, background=views.background
        )
        torch.testing.assert_close(alone.rgb[0], batch.images[index])


def test_turning_scene_and_camera_together_changes_nothing() -> None:
    spec = SceneSpec((ObjectSpec("mushroom", "red"),))
    nuisance = [0.5] * spec.num_nuisances
    turned = nuisance.copy()
    turned[1] = 0.5 + 40 / 360  # any yaw is allowed for a mushroom: +-180 degrees
    first = seen(ScenePack.from_scenes([build(spec, nuisance)]), cameras(1, azimuth_deg=10, elevation_deg=20))
    second = seen(ScenePack.from_scenes([build(spec, turned)]), cameras(1, azimuth_deg=50, elevation_deg=20))
    assert (first.rgb - second.rgb).abs().mean() < 1e-3


def test_visible_points_lie_on_the_surface() -> None:
    specs = [SceneSpec((ObjectSpec(family),)) for family in FAMILIES]
    pack = ScenePack.from_scenes([build(spec, [0.5] * spec.num_nuisances) for spec in specs])
    view = cameras(len(pack), azimuth_deg=30, elevation_deg=20, size=33)
    images = seen(pack, view)
    rays = view.rays()
    points = (rays.origins + images.depth.view(-1, 1) * rays.directions).view(len(pack), -1, 3)
    distance = signed_distance(pack, points).abs()
    is_inner = torch.zeros(len(pack), 33, 33, dtype=torch.bool)
    opaque = images.opacity[..., 0] == 1
    is_inner[:, 1:-1, 1:-1] = opaque[:, 1:-1, 1:-1]
    # Pixels on edges hold means over several rays; most pixels do not.
    assert (distance[is_inner.flatten(1)] < 2e-3).float().mean() > 0.5
    assert (opaque.flatten(1).sum(dim=1) > 30).all()


@pytest.mark.parametrize("toy", [name for name in TOYS if FAMILIES[name].has_front])
def test_front_and_back_of_a_toy_differ(toy: str) -> None:
    spec = SceneSpec((ObjectSpec(toy),))
    pack = ScenePack.from_scenes([build(spec, [0.5] * spec.num_nuisances)])
    front = seen(pack, cameras(1, elevation_deg=10), ambient=1.0).rgb
    back = seen(pack, cameras(1, azimuth_deg=180, elevation_deg=10), ambient=1.0).rgb
    mirrored = back.flip(dims=(2,))
    changed = ((front - mirrored).abs().amax(dim=-1) > 0.1).float().mean()
    assert changed > 0.005


def test_too_many_parts_are_refused() -> None:
    scene = Scene(BALL_SPEC, tuple(sphere((0, 0, 0.01 * i), 0.1, COLOR) for i in range(MAX_PARTS + 1)))
    with pytest.raises(ValueError, match="may have 31 parts, got 32"):
        seen(ScenePack.from_scenes([scene]), cameras(1))
