"""Every registered part of a scene builds from its defaults on a CPU, is drawn, trained, and put back."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from framework.core.registries import (
    BACKGROUNDS,
    ENCODINGS,
    GEOMETRIES,
    LOSSES,
    MATERIALS,
    RENDERERS,
    SOURCES,
    STREAMS,
)
from framework.core.step import StepInfo, named_generator
from framework.geometry.base import SurfaceGeometry
from framework.losses.perceptual import BLOCKS, weight_names
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid
from framework.structures.field import Attribute
from framework.structures.losses import Frame
from framework.structures.render_output import Buffer
from framework.structures.views import Views

STEP = StepInfo(0, 10)
CPU = torch.device("cpu")
COMBINATIONS = list(itertools.product(GEOMETRIES.names(), MATERIALS.names(), BACKGROUNDS.names()))
DRAWN = [
    (renderer, geometry)
    for renderer, geometry in itertools.product(RENDERERS.names(), GEOMETRIES.names())
    if RENDERERS.find(renderer).can_draw(RENDERERS.find(renderer).Config(), GEOMETRIES.find(geometry))
]


# Losses of surfaces that only some geometries have.
MADE_FOR = {"sign-changes": ("tetrahedral-grid", "flexicubes"), "dual-deviation": ("flexicubes",)}


@pytest.fixture(scope="module")
def loss_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What losses have no default for."""
    path = tmp_path_factory.mktemp("weights") / "vgg.safetensors"
    channels = {f"features.{layers[0]}.weight": 3 if block == 0 else 2 for block, layers in enumerate(BLOCKS)}
    shapes = {"weight": lambda name: (2, channels.get(name, 2), 3, 3), "bias": lambda name: (2,)}
    weights = {name: torch.ones(shapes[name.split(".")[-1]](name)) for name in weight_names() if name[0] == "f"}
    save_file(weights | {name: torch.ones(1, 2, 1, 1) for name in weight_names() if name not in weights}, path)
    source = SOURCES.find("toybox-scene").Config(prompt="a red cube")
    return {"perceptual": {"weights": str(path), "source": source}}


def build(geometry: str, material: str, background: str, *, seed: int = 0) -> Scene:
    generator = named_generator(seed, "scene")
    # As many features as the most demanding material wants by default.
    shape = GEOMETRIES.build(GEOMETRIES.find(geometry).Config(num_features=27), generator=generator, backends={})
    channels = shape.config.num_features
    return Scene(
        geometry=shape,
        material=MATERIALS.build(MATERIALS.find(material).Config(), num_features=channels, generator=generator),
        background=BACKGROUNDS.build(BACKGROUNDS.find(background).Config(), generator=generator),
        occupancy=OccupancyGrid(),
    )


def draw(scene: Scene, views: Views, renderer: str | None = None) -> Frame:
    """All that a renderer of default settings sees of a scene; the plainest one that can, if none is named."""
    name = renderer or ("rasterizer" if isinstance(scene.geometry, SurfaceGeometry) else "volume")
    drawing = RENDERERS.build(RENDERERS.find(name).Config(), backends={})
    return Frame(scene, views, drawing.render(views, scene, drawing.provides, STEP), STEP)


def expect_gradients(scene: Scene, total: torch.Tensor) -> None:
    """Every parameter of the scene is moved by `total`."""
    total.backward()
    for name, parameter in scene.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()) and bool(parameter.grad.any()), name


def some_views() -> Views:
    config = STREAMS.find("random-views").Config(height=16, width=16)
    return STREAMS.build(config, name="random").sample(STEP, CPU)


@pytest.mark.parametrize(("geometry", "material", "background"), COMBINATIONS)
def test_a_default_scene_is_trained_by_its_image(geometry: str, material: str, background: str) -> None:
    scene = build(geometry, material, background)
    expect_gradients(scene, draw(scene, some_views()).render.rgb.square().sum())


@pytest.mark.parametrize(("renderer", "geometry"), DRAWN)
def test_what_a_renderer_draws_is_trained_by_every_loss(
    renderer: str, geometry: str, loss_settings: dict[str, dict[str, Any]]
) -> None:
    scene = build(geometry, "lambertian", "solid-color")
    frame = draw(scene, some_views(), renderer)
    provided = RENDERERS.find(renderer).provides_of(RENDERERS.find(renderer).Config())
    total = frame.render.rgb.square().sum()
    for name in (name for name in LOSSES.names() if geometry in MADE_FOR.get(name, GEOMETRIES.names())):
        config = LOSSES.find(name).Config(**loss_settings.get(name, {}))
        if LOSSES.find(name).needs_of(config) <= provided and LOSSES.find(name).asks <= scene.geometry.answers:
            for loss in LOSSES.build(config, prompt="a red cube")(frame).losses.values():
                assert loss.shape == () and bool(loss.isfinite()), name
                total = total + loss
    expect_gradients(scene, total)


@pytest.mark.parametrize(("renderer", "geometry"), DRAWN)
def test_a_renderer_yields_just_what_it_provides(renderer: str, geometry: str) -> None:
    scene, views = build(geometry, "lambertian", "solid-color"), some_views()
    drawing = RENDERERS.build(RENDERERS.find(renderer).Config(), backends={})
    for needs in (frozenset(), drawing.provides):
        render = drawing.render(views, scene, needs, STEP)
        assert render.renderer == renderer and render.rgb.shape == (len(views), 16, 16, 3)
        assert (render.normal is not None) == (Buffer.NORMAL in needs)
        assert (render.volume is not None) == (Buffer.SAMPLES in needs)
        assert (render.mesh is not None) == (Buffer.MESH in needs)


@pytest.mark.parametrize(("geometry", "material", "background"), COMBINATIONS)
def test_a_scene_put_back_from_its_state_draws_the_same_image(geometry: str, material: str, background: str) -> None:
    scene, other = build(geometry, material, background), build(geometry, material, background, seed=1)
    if Attribute.DENSITY in scene.geometry.answers:
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
