"""Samplers of volume renderers; what occupied space and importance sampling find is in `test_volume.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from framework.core.registries import SAMPLERS
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator
from framework.ops.ray_sampling import cube_interval
from framework.renderers.base import Scene
from framework.renderers.patch import Patch
from framework.renderers.proposal import Proposal
from framework.renderers.samplers import Importance
from framework.renderers.sdf_volume import SdfVolume
from framework.renderers.strided import Strided
from framework.renderers.volume import Volume
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

TORCH = {"hash-encoding": "torch", "mlp": "torch", "ray-sampling": "torch", "compositing": "torch"}
EVALUATE, TRAIN = StepInfo(100, 100, mode="test"), StepInfo(0, 100)
SAMPLES = frozenset({Buffer.SAMPLES})
Make = Callable[..., Scene]


def look(azimuth: float = 0.4, size: int = 12) -> Views:
    one = torch.ones(1)
    return Views.orbit(azimuth * one, 0.3 * one, 3.0 * one, 0.7 * one, height=size, width=size)


def with_proposals(scene: Scene, config: Any) -> Scene:
    """The scene with what a renderer of this config learns of it."""
    renderer = {Volume.Config: Volume, SdfVolume.Config: SdfVolume, Patch.Config: Patch, Strided.Config: Strided}
    found = renderer[type(config)].proposals(config, radius=1.0, generator=named_generator(0, "p"), backends=TORCH)
    scene.proposals.extend(found)
    return scene


def volume(*, samples: int = 24, **settings: Any) -> Volume:
    config = Volume.Config(samples_per_ray=samples, sampler=Proposal.Config(**settings))
    return Volume(config, backends=TORCH)


def trained(renderer: Volume, scene: Scene, *, steps: int) -> list[float]:
    """The losses of so many steps in which the proposals alone are trained."""
    optimizer = torch.optim.Adam(scene.proposals.parameters(), lr=5e-2, eps=1e-15)
    losses = []
    for step in range(steps):
        render = renderer.render(look(0.7 * step), scene, frozenset(), StepInfo(step, steps))
        assert render.sampler_loss is not None
        optimizer.zero_grad()
        render.sampler_loss.backward()
        optimizer.step()
        losses.append(render.sampler_loss.item())
    return losses


def near_the_surface(render: RenderOutput, radius: float) -> float:
    """Share of the samples on rays that hit a ball whose interval lies within 0.1 of its surface."""
    assert render.volume is not None
    samples = render.volume.samples
    positions = samples.positions(look().cameras.rays())
    is_near = (positions.norm(dim=1) - radius).abs() < 0.1
    return float(is_near[(render.opacity.flatten() > 0.9)[samples.ray_index]].float().mean())


def test_proposal_samples_cover_the_way_through_the_cube_without_gaps(make_solid: Make) -> None:
    renderer = volume(samples=17)
    scene, views = with_proposals(make_solid(ball=0.6), renderer.config), look()
    for step in (TRAIN, EVALUATE):
        volume_samples = renderer.render(views, scene, SAMPLES, step).volume
        assert volume_samples is not None
        samples = volume_samples.samples
        entry, leave = cube_interval(views.cameras.rays(), 1.0, 0.05)
        counts = samples.offsets.diff()
        assert torch.equal(counts, 17 * (leave > entry).long()) and 0 < int((counts == 0).sum()) < len(counts)
        met = counts > 0
        starts, ends = samples.starts.view(-1, 17), samples.ends.view(-1, 17)
        assert torch.equal(starts[:, 1:], ends[:, :-1]) and bool((ends >= starts).all())
        torch.testing.assert_close(starts[:, 0], entry[met])
        torch.testing.assert_close(ends[:, -1], leave[met])


def test_proposals_learn_where_a_ball_is_and_draw_it_better_than_as_many_even_steps(make_solid: Make) -> None:
    learned, even = volume(samples=16, sharpness=Constant(1.0)), volume(samples=16, sharpness=Constant(0.0))
    scene = with_proposals(make_solid(ball=0.6, density=300.0), learned.config)
    before = near_the_surface(learned.render(look(), scene, SAMPLES, EVALUATE), 0.6)
    losses = trained(learned, scene, steps=40)
    after = near_the_surface(learned.render(look(), scene, SAMPLES, EVALUATE), 0.6)
    assert sum(losses[-5:]) < sum(losses[:5]) / 3.0
    assert before < 0.25 < 0.5 < after
    views = look(size=24)
    rays = views.cameras.rays()
    toward = -(rays.origins * rays.directions).sum(dim=1)
    exact = toward - (toward.square() - rays.origins.square().sum(dim=1) + 0.36).sqrt()
    inner = (toward.square() - rays.origins.square().sum(dim=1) + 0.25) > 0.0
    errors = [
        (renderer.render(views, scene, frozenset(), EVALUATE).depth.flatten() - exact)[inner].abs().median()
        for renderer in (learned, even)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_an_image_trains_the_field_and_the_histogram_loss_the_proposals(make_scene: Make) -> None:
    renderer = volume()
    scene = with_proposals(make_scene(), renderer.config)
    render = renderer.render(look(), scene, frozenset(), TRAIN)
    render.rgb.square().sum().backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in scene.proposals.parameters())
    assert scene.geometry.values.grad is not None and scene.geometry.values.grad.any()
    scene.zero_grad()
    assert render.sampler_loss is not None
    render.sampler_loss.backward()
    assert scene.geometry.values.grad is None
    assert all(parameter.grad is not None for parameter in scene.proposals.parameters())


def test_only_training_has_a_sampler_loss_and_only_proposals_have_one(make_scene: Make) -> None:
    renderer = volume()
    scene = with_proposals(make_scene(), renderer.config)
    assert renderer.render(look(), scene, frozenset(), EVALUATE).sampler_loss is None
    importance = Volume(Volume.Config(sampler=Importance.Config()), backends=TORCH)
    assert importance.render(look(), scene, frozenset(), TRAIN).sampler_loss is None


def test_proposals_serve_signed_distances_and_wrapped_renderers(make_scene: Make) -> None:
    sampler = Proposal.Config(rounds=(16,))
    base = Volume.Config(samples_per_ray=12, sampler=sampler)
    for renderer, geometry in (
        (SdfVolume(SdfVolume.Config(samples_per_ray=12, sampler=sampler), backends=TORCH), "signed-distance-field"),
        (Strided(Strided.Config(base=base), backends=TORCH), "voxel-grid"),
        (Patch(Patch.Config(base=base, patch_size=6), backends=TORCH), "voxel-grid"),
    ):
        scene = with_proposals(make_scene(geometry), renderer.config)
        assert len(scene.proposals) == 1
        loss = renderer.render(look(), scene, frozenset(), TRAIN).sampler_loss
        assert loss is not None and loss.requires_grad and bool(loss.isfinite())


def test_rays_that_miss_the_cube_are_background_and_teach_nothing(make_solid: Make) -> None:
    renderer = volume()
    scene, views = with_proposals(make_solid(ball=0.6), renderer.config), look()
    away = replace(views, cameras=replace(views.cameras, camera_to_world=-views.cameras.camera_to_world))
    away.cameras.camera_to_world[:, :3, 3] *= -1.0
    render = renderer.render(away, scene, frozenset(), TRAIN)
    assert render.sampler_loss is not None and render.sampler_loss.item() == 0.0
    assert not bool(render.opacity.any())


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_a_sampler_of_default_settings_draws_an_opaque_ball(name: str, make_solid: Make) -> None:
    config = Volume.Config(sampler=SAMPLERS.find(name).Config())
    scene = with_proposals(make_solid(ball=0.6), config)
    opacity = Volume(config, backends=TORCH).render(look(), scene, frozenset(), TRAIN).opacity
    assert opacity[0, 6, 6, 0] > 0.99 and opacity[0, 0, 0, 0] < 0.01


@pytest.mark.parametrize(
    "settings", [{"rounds": ()}, {"rounds": (8, 0)}, {"padding": 0.0}, {"sharpness": Constant(2.0)}]
)
def test_impossible_settings_of_proposals_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Proposal.Config(**settings)
