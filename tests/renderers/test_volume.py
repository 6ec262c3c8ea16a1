"""Volume rendering against closed forms and invariants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from framework.core.step import StepInfo, named_generator
from framework.renderers.base import Scene
from framework.renderers.samplers import Importance
from framework.renderers.volume import Volume
from framework.structures.rays import Rays
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Lights, Views

TORCH = {"hash-encoding": "torch", "mlp": "torch", "ray-sampling": "torch", "compositing": "torch"}
EVALUATE, TRAIN = StepInfo(0, 100, mode="test"), StepInfo(0, 100)
EVERYTHING = frozenset(Buffer)
Make = Callable[..., Scene]


def look(*azimuth_deg: float, size: int = 12, diffuse: float = 0.0) -> Views:
    """Views of the origin from a distance of 3, lit from one side."""
    azimuth = torch.deg2rad(torch.tensor(azimuth_deg))
    one = torch.ones_like(azimuth)
    light = torch.tensor([2.0, 2.0, 3.0]).expand(len(azimuth), 3)
    lights = Lights(light, (1.0 - diffuse) * one, diffuse * one, torch.zeros_like(one, dtype=torch.bool))
    return Views.orbit(azimuth, 0.3 * one, 3.0 * one, 0.7 * one, height=size, width=size, lights=lights)


def draw(
    scene: Scene, views: Views, *, needs: frozenset[Buffer] = frozenset(), step: StepInfo = EVALUATE, samples: int = 96
) -> RenderOutput:
    return Volume(Volume.Config(samples_per_ray=samples), backends=TORCH).render(views, scene, needs, step)


def ball_distance(rays: Rays, radius: float) -> Tensor:
    """Distance at which rays first meet a ball about the origin; NaN where they miss it."""
    toward = -(rays.origins * rays.directions).sum(dim=1)
    return toward - (toward.square() - rays.origins.square().sum(dim=1) + radius**2).sqrt()


def cube_crossing(rays: Rays) -> Tensor:
    """Length of rays within the cube [-1, 1]^3."""
    first, second = (-1.0 - rays.origins) / rays.directions, (1.0 - rays.origins) / rays.directions
    enter, leave = torch.minimum(first, second).amax(dim=1), torch.maximum(first, second).amin(dim=1)
    return (leave - enter).clamp(min=0.0)


def test_a_hard_ball_has_the_depth_of_its_surface_to_one_step(make_solid: Make) -> None:
    views = look(20.0, size=24)
    image = draw(make_solid(ball=0.6), views, samples=384)
    exact = ball_distance(views.cameras.rays(), 0.6).view(1, 24, 24, 1)
    is_hit = image.opacity > 0.5
    step_length = 2.0 * 3.0**0.5 / 384
    assert is_hit.float().mean() > 0.1
    behind = (image.depth - exact)[is_hit]  # the first sample whose middle lies inside
    assert behind.min() > -1e-4 and behind.max() < step_length + 1e-4
    assert ((image.opacity > 0.5) == ~exact.isnan()).float().mean() > 0.98


def test_a_thin_cube_lets_through_the_exponential_of_its_thickness(make_solid: Make) -> None:
    views = look(20.0)
    image = draw(make_solid(density=0.7), views, samples=768)
    expected = 1.0 - torch.exp(-0.7 * cube_crossing(views.cameras.rays()))
    torch.testing.assert_close(image.opacity.reshape(-1), expected, atol=0.003, rtol=0.0)


def test_colors_are_mixed_with_the_background_by_opacity(make_solid: Make) -> None:
    image = draw(make_solid(density=0.7), look(20.0))
    torch.testing.assert_close(image.rgb, (1.0 - 0.5 * image.opacity).expand_as(image.rgb))  # grey before white


def test_normals_of_a_ball_are_radial_and_as_long_as_it_is_opaque(make_solid: Make) -> None:
    views = look(20.0, size=24)
    image = draw(make_solid(ball=0.6), views, needs=EVERYTHING, samples=384)
    assert image.normal is not None
    torch.testing.assert_close(image.normal.norm(dim=-1, keepdim=True), image.opacity, atol=1e-4, rtol=0.0)
    rays = views.cameras.rays()
    exact = (rays.origins + rays.directions * image.depth.view(-1, 1)) / 0.6
    is_hit = image.opacity.view(-1) > 0.99
    torch.testing.assert_close(image.normal.view(-1, 3)[is_hit], exact[is_hit], atol=0.02, rtol=0.0)


def test_a_lit_ball_has_the_shade_of_the_cosine(make_solid: Make) -> None:
    views = look(20.0, diffuse=0.6)
    image = draw(make_solid(ball=0.6, material="lambertian"), views, needs=EVERYTHING, samples=384)
    assert image.normal is not None
    rays = views.cameras.rays()
    surface = rays.origins + rays.directions * image.depth.view(-1, 1)
    to_light = torch.nn.functional.normalize(views.lights.positions - surface, dim=1)
    cosine = (image.normal.view(-1, 3) * to_light).sum(dim=1).clamp(min=0.0)
    is_hit = image.opacity.view(-1) > 0.99
    expected = 0.5 * (0.4 + 0.6 * cosine)[:, None].expand(-1, 3)
    torch.testing.assert_close(image.rgb.view(-1, 3)[is_hit], expected[is_hit], atol=1e-3, rtol=0.0)


def test_turning_camera_and_light_about_a_symmetric_scene_changes_nothing(make_scene: Make) -> None:
    scene = make_scene("density-field", material="lambertian")
    with torch.no_grad():
        for parameter in scene.parameters():
            parameter.zero_()  # what remains is the blob
    views, turn = look(10.0, diffuse=0.5), math.pi / 2.0
    rotation = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    lights = replace(views.lights, positions=views.lights.positions @ rotation.T)
    turned = Views.orbit(
        views.azimuth + turn,
        views.elevation,
        views.distance,
        views.cameras.fov_y,
        height=12,
        width=12,
        lights=lights,
    )
    first, second = draw(scene, views), draw(scene, turned)
    assert first.rgb.std() > 0.05
    # The tetrahedron of normals does not turn along, which shows where the blob has its kink.
    torch.testing.assert_close(second.rgb, first.rgb, atol=5e-3, rtol=0.0)
    torch.testing.assert_close(second.depth, first.depth, atol=1e-2, rtol=0.0)


def test_a_batch_of_two_equals_two_batches_of_one(make_scene: Make) -> None:
    scene, views = make_scene(material="lambertian"), look(0.0, 130.0, diffuse=0.6)
    both = draw(scene, views, needs=EVERYTHING)
    for index in range(2):
        alone = draw(scene, views[index], needs=EVERYTHING)
        for image, one in ((both.rgb, alone.rgb), (both.depth, alone.depth), (both.normal, alone.normal)):
            assert image is not None and one is not None
            torch.testing.assert_close(image[index], one[0], atol=1e-5, rtol=0.0)


def test_chunks_of_rays_do_not_show(make_scene: Make) -> None:
    scene, views = make_scene(material="lambertian"), look(0.0, 130.0, diffuse=0.6)
    needs = frozenset({Buffer.NORMAL})
    whole = draw(scene, views, needs=needs)
    config = Volume.Config(evaluation_rays=100)
    pieces = Volume(config, backends=TORCH).render(views, scene, needs, EVALUATE)
    torch.testing.assert_close(pieces.rgb, whole.rgb, atol=1e-6, rtol=0.0)
    torch.testing.assert_close(pieces.normal, whole.normal, atol=1e-6, rtol=0.0)


def test_pruning_empty_space_hardly_changes_the_image_and_saves_samples(make_scene: Make) -> None:
    scene, views = make_scene(cells=24), look(20.0)
    whole = draw(scene, views, needs=EVERYTHING)
    scene.occupancy.update(scene.geometry, StepInfo(0, 100))
    pruned = draw(scene, views, needs=EVERYTHING)
    assert whole.volume is not None and pruned.volume is not None
    assert len(pruned.volume.weights) < 0.4 * len(whole.volume.weights)
    torch.testing.assert_close(pruned.rgb, whole.rgb, atol=0.03, rtol=0.0)


def test_training_jitters_by_the_step_and_evaluation_does_not(make_scene: Make) -> None:
    scene, views = make_scene(), look(20.0)
    first = draw(scene, views, step=TRAIN).depth
    assert torch.equal(draw(scene, views, step=TRAIN).depth, first)
    assert not torch.equal(draw(scene, views, step=StepInfo(1, 100)).depth, first)
    assert torch.equal(draw(scene, views).depth, draw(scene, views, step=StepInfo(1, 100, mode="test")).depth)


def test_only_samples_of_enough_weight_are_shaded(make_scene: Make) -> None:
    volume = draw(make_scene(), look(20.0), needs=EVERYTHING).volume
    assert volume is not None and volume.normals is not None
    is_shaded = torch.zeros(len(volume.weights), dtype=torch.bool).index_fill(0, volume.shaded, value=True)
    assert torch.equal(is_shaded, volume.weights > 1e-3)
    assert 0 < len(volume.shaded) == len(volume.normals) < len(volume.weights)


def test_normals_below_the_threshold_change_a_pixel_by_less_than_their_weight(make_scene: Make) -> None:
    scene, views = make_scene(material="lambertian"), look(20.0, diffuse=0.6)
    coarse = Volume(Volume.Config(min_weight=1e-3), backends=TORCH).render(views, scene, EVERYTHING, EVALUATE)
    exact = Volume(Volume.Config(min_weight=0.0), backends=TORCH).render(views, scene, frozenset(), EVALUATE)
    assert coarse.volume is not None
    below = torch.where(coarse.volume.weights > 1e-3, 0.0, coarse.volume.weights)
    bound = torch.zeros(144).index_add(0, coarse.volume.samples.ray_index.long(), below).view(1, 12, 12, 1)
    assert bool(((coarse.rgb - exact.rgb).abs() <= bound + 1e-6).all())


def test_even_thin_fog_receives_gradients(make_solid: Make, make_scene: Make) -> None:
    scene = make_scene(material="lambertian")
    with torch.no_grad():
        scene.geometry.values[:, 0] -= 15.0  # nowhere opaque: no sample reaches the weight for a normal
    image = draw(scene, look(20.0, diffuse=0.6), needs=EVERYTHING, step=TRAIN)
    assert image.volume is not None and len(image.volume.shaded) == 0
    image.rgb.sum().backward()
    assert scene.geometry.values.grad is not None
    assert bool(scene.geometry.values.grad[:, 0].any()) and bool(scene.geometry.values.grad[:, 1:].any())


@pytest.mark.parametrize("material", ["radiance", "lambertian"])
def test_gradients_of_an_image_equal_differences(make_scene: Make, material: str) -> None:
    scene, views = make_scene(material=material, resolution=8).double(), look(20.0, size=3, diffuse=0.5)
    renderer = Volume(Volume.Config(samples_per_ray=24, min_weight=0.0), backends=TORCH)
    probe = torch.rand(1, 3, 3, 3, dtype=torch.float64, generator=named_generator(0, "probe"))
    values = scene.geometry.values
    del scene.geometry.values  # gradcheck hands in its own

    def total(values: Tensor) -> Tensor:
        scene.geometry.values = values
        return (probe * renderer.render(views, scene, frozenset(), EVALUATE).rgb).sum()

    assert torch.autograd.gradcheck(total, (values,), fast_mode=True)


def test_rays_that_miss_everything_show_the_background(make_solid: Make) -> None:
    views = look(20.0)
    below = torch.eye(4)  # looks down
    below[2, 3] = -9.0
    away = replace(views, cameras=replace(views.cameras, camera_to_world=below[None]))
    image = draw(make_solid(material="lambertian"), away, needs=EVERYTHING)
    assert torch.equal(image.rgb, torch.ones_like(image.rgb)) and not bool(image.opacity.any())
    assert image.normal is not None and not bool(image.normal.any())


def test_only_needed_buffers_are_there(make_scene: Make) -> None:
    scene, views = make_scene(), look(20.0)
    plain = draw(scene, views)
    assert plain.normal is None and plain.volume is None
    with_normal = draw(scene, views, needs=frozenset({Buffer.NORMAL}))
    assert with_normal.normal is not None and with_normal.volume is None
    with_samples = draw(scene, views, needs=frozenset({Buffer.SAMPLES}))
    assert with_samples.volume is not None and with_samples.volume.normals is None


def importance(coarse: int, fine: int) -> Volume:
    return Volume(Volume.Config(samples_per_ray=coarse, sampler=Importance.Config(count=fine)), backends=TORCH)


def test_importance_samples_find_the_surface_of_a_ball_better_than_as_many_steps(make_solid: Make) -> None:
    scene, views = make_solid(ball=0.6, density=300.0), look(20.0, size=24)
    exact = ball_distance(views.cameras.rays(), 0.6).view(1, 24, 24, 1)
    inner = ball_distance(views.cameras.rays(), 0.5).isfinite().view(1, 24, 24, 1)
    errors = {}
    for name, renderer in {
        "few": Volume(Volume.Config(samples_per_ray=64), backends=TORCH),
        "as many": Volume(Volume.Config(samples_per_ray=96), backends=TORCH),
        "importance": importance(64, 32),
    }.items():
        image = renderer.render(views, scene, frozenset(), EVALUATE)
        errors[name] = (image.depth - exact)[inner].abs().mean().item()
    assert errors["importance"] < 0.65 * min(errors["few"], errors["as many"])


def test_a_thin_shell_is_sampled_where_it_is(make_scene: Make) -> None:
    scene, views = make_scene("signed-distance-field", cells=1, initial_sharpness=400.0), look(20.0)
    counts = []
    for renderer in (Volume(Volume.Config(samples_per_ray=96), backends=TORCH), importance(64, 32)):
        image = renderer.render(views, scene, EVERYTHING, EVALUATE)
        assert image.volume is not None
        hit = image.opacity.flatten() > 0.9
        samples = image.volume.samples
        middles, ray = samples.middles, samples.ray_index
        surface = ball_distance(views.cameras.rays(), 0.5)[ray]
        is_near = ((middles - surface).abs() < 0.05) & hit[ray]
        counts.append(int(is_near.sum()) / int(hit.sum()))
    assert counts[1] > 4.0 * counts[0]


def test_importance_sampling_leaves_a_smooth_field_as_it_is_and_its_gradients(make_scene: Make) -> None:
    scene, views = make_scene(), look(20.0)
    gradients = []
    for renderer in (Volume(Volume.Config(samples_per_ray=512), backends=TORCH), importance(128, 64)):
        scene.zero_grad()
        image = renderer.render(views, scene, EVERYTHING, EVALUATE)
        image.rgb.square().sum().backward()
        gradients.append((image.rgb.detach(), scene.geometry.values.grad.clone()))
    torch.testing.assert_close(gradients[1][0], gradients[0][0], atol=5e-3, rtol=0.0)
    difference = (gradients[1][1] - gradients[0][1]).norm() / gradients[0][1].norm()
    assert difference < 0.05


def test_importance_sampling_jitters_in_training_alone(make_scene: Make) -> None:
    scene, views, renderer = make_scene(), look(20.0), importance(24, 8)
    for mode, is_equal in (("train", False), ("test", True)):
        first, second = (
            renderer.render(views, scene, frozenset(), StepInfo(step, 100, mode=mode)).depth  # type: ignore[arg-type]
            for step in (0, 1)
        )
        assert torch.equal(first, second) == is_equal


@pytest.mark.parametrize(
    "settings", [{"samples_per_ray": 0}, {"evaluation_rays": 0}, {"near": -1.0}, {"min_weight": -1.0}]
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Volume.Config(**settings)  # type: ignore[arg-type]
