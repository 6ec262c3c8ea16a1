"""Every registered part of a scene builds from its defaults on a CPU, is drawn, trained, and put back."""

from __future__ import annotations

import itertools

import pytest
import torch

from framework.core.registries import BACKGROUNDS, ENCODINGS, GEOMETRIES, LOSSES, MATERIALS, RENDERERS, STREAMS
from framework.core.step import StepInfo, named_generator
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid
from framework.structures.losses import Frame
from framework.structures.views import Views

STEP = StepInfo(0, 10)
CPU = torch.device("cpu")
COMBINATIONS = list(itertools.product(GEOMETRIES.names(), MATERIALS.names(), BACKGROUNDS.names()))


def build(geometry: str, material: str, background: str, *, seed: int = 0) -> Scene:
    generator = named_generator(seed, "scene")
    shape = GEOMETRIES.build(GEOMETRIES.find(geometry).Config(), generator=generator, backends={})
    channels = shape.config.num_features
    return Scene(
        geometry=shape,
        material=MATERIALS.build(MATERIALS.find(material).Config(), num_features=channels, generator=generator),
        background=BACKGROUNDS.build(BACKGROUNDS.find(background).Config(), generator=generator),
        occupancy=OccupancyGrid(),
    )


def draw(scene: Scene, views: Views) -> Frame:
    renderer = RENDERERS.build(RENDERERS.find("volume").Config(), backends={})
    return Frame(scene, views, renderer.render(views, scene, renderer.provides, STEP), STEP)


def some_views() -> Views:
    config = STREAMS.find("random-views").Config(height=8, width=8)
    return STREAMS.build(config, name="random").sample(STEP, CPU)


@pytest.mark.parametrize(("geometry", "material", "background"), COMBINATIONS)
def test_a_default_scene_is_trained_by_every_loss_and_its_image(geometry: str, material: str, background: str) -> None:
    scene = build(geometry, material, background)
    frame = draw(scene, some_views())
    total = frame.render.rgb.square().sum()
    for name in LOSSES.names():
        for loss in LOSSES.build(LOSSES.find(name).Config(), prompt="a red cube")(frame).losses.values():
            assert loss.shape == ()
            total = total + loss
    total.backward()
    for name, parameter in scene.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()) and bool(parameter.grad.any()), name


@pytest.mark.parametrize(("geometry", "material", "background"), COMBINATIONS)
def test_a_scene_put_back_from_its_state_draws_the_same_image(geometry: str, material: str, background: str) -> None:
    scene, other = build(geometry, material, background), build(geometry, material, background, seed=1)
    scene.occupancy.update(scene.geometry, STEP)
    other.load_state_dict(scene.state_dict())
    assert torch.equal(draw(other, some_views()).render.rgb, draw(scene, some_views()).render.rgb)


@pytest.mark.parametrize("name", STREAMS.names())
def test_a_stream_yields_equal_views_in_equal_steps(name: str) -> None:
    stream = STREAMS.build(STREAMS.find(name).Config(), name="stream")
    first, again = stream.sample(STEP, CPU), stream.sample(STEP, CPU)
    assert torch.equal(first.cameras.camera_to_world, again.cameras.camera_to_world)
    assert torch.equal(first.lights.positions, again.lights.positions)
    assert first.cameras.height == stream.config.height


@pytest.mark.parametrize("name", ENCODINGS.names())
def test_an_encoding_yields_as_many_features_as_it_says(name: str) -> None:
    encoding = ENCODINGS.build(ENCODINGS.find(name).Config(), generator=named_generator(0, "encoding"), backends={})
    features = encoding.encode(torch.rand(7, 3, generator=named_generator(0, "points")), STEP)
    assert features.shape == (7, encoding.output_dim) and bool(features.isfinite().all())
