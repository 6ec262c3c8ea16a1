"""Latents as what a field emits, and the linear map between them and colours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from framework.backgrounds.solid_color import SolidColor
from framework.core.registries import GEOMETRIES, RENDERERS
from framework.core.step import StepInfo, named_generator
from framework.materials.latent_radiance import STABLE_DIFFUSION, LatentRadiance
from framework.renderers.base import Scene
from framework.renderers.occupancy import OccupancyGrid, OccupancySettings
from framework.structures.field import ShadingPoints
from framework.structures.render_output import Buffer
from framework.structures.views import Views

STEP = StepInfo(0, 10, mode="test")
LATENT = frozenset({Buffer.LATENT, Buffer.NORMAL})


def material(num_features: int = 4, **settings: object) -> LatentRadiance:
    config = LatentRadiance.Config(**settings)  # type: ignore[arg-type]
    return LatentRadiance(config, num_features=num_features, generator=named_generator(0, "test"))


def scene(geometry: str, **settings: object) -> Scene:
    """A blob of random features before a colour."""
    config = GEOMETRIES.find(geometry).Config(num_features=5)
    shape = GEOMETRIES.build(config, generator=named_generator(0, "shape"), backends={})
    with torch.no_grad():
        for parameter in shape.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn(parameter.shape, generator=named_generator(2, "x")) * 0.1)
    return Scene(
        geometry=shape,
        material=material(5, **settings),
        background=SolidColor(SolidColor.Config(color=(0.9, 0.3, 0.6)), generator=named_generator(1, "b")),
        occupancy=OccupancyGrid(OccupancySettings(resolution=2)),
    )


def look() -> Views:
    one = torch.ones(1)
    return Views.orbit(0.4 * one, 0.3 * one, 3.0 * one, 0.7 * one, height=12, width=12)


def test_no_latents_are_gray_and_a_channel_adds_its_row(make_points: Callable[..., ShadingPoints]) -> None:
    shown = material().shade(make_points(), torch.tensor([[0.0] * 4, [0.0, 1.0, 0.0, 0.0]]), STEP)
    torch.testing.assert_close(shown[0], torch.full((3,), 0.5))
    torch.testing.assert_close(shown[1], 0.5 + 0.5 * torch.tensor(STABLE_DIFFUSION[1]))


def test_latents_of_a_color_are_shown_as_that_color() -> None:
    colors = torch.rand(6, 3, generator=named_generator(0, "colors"))
    latents = material().latents_of_color(colors)
    assert latents.shape == (6, 4)
    torch.testing.assert_close(material().base_color(latents, STEP), colors, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize(("renderer", "geometry"), [("volume", "voxel-grid"), ("rasterizer", "triangle-mesh")])
def test_a_render_of_latents_is_shown_as_its_colors(renderer: str, geometry: str) -> None:
    """The map is linear, so that it does not matter whether latents or colours are composited and antialiased."""
    drawn = RENDERERS.build(RENDERERS.find(renderer).Config(), backends={}).render(
        look(), scene(geometry), LATENT, STEP
    )
    assert drawn.latent is not None and drawn.latent.shape == (1, 12, 12, 4) and drawn.normal is not None
    assert 0.1 < drawn.opacity.mean() < 0.9
    torch.testing.assert_close(material().to_rgb.colors(drawn.latent), drawn.rgb, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize(("renderer", "geometry"), [("volume", "voxel-grid"), ("rasterizer", "triangle-mesh")])
def test_latents_are_there_only_where_they_are_needed(renderer: str, geometry: str) -> None:
    drawing = RENDERERS.build(RENDERERS.find(renderer).Config(), backends={})
    assert drawing.render(look(), scene(geometry), frozenset(), STEP).latent is None


def test_latents_train_the_field_and_colors_the_map_where_that_is_asked_for() -> None:
    fixed, trained = scene("voxel-grid"), scene("voxel-grid", train_rgb=True)
    assert not list(fixed.material.parameters()) and len(list(trained.material.parameters())) == 1
    drawing = RENDERERS.build(RENDERERS.find("volume").Config(), backends={})
    image = drawing.render(look(), trained, LATENT, STEP)
    assert image.latent is not None
    image.latent.square().sum().backward()
    assert trained.geometry.values.grad is not None and trained.geometry.values.grad[:, 1:5].any()
    assert not trained.material.to_rgb.matrix.grad.any()
    drawing.render(look(), trained, LATENT, STEP).rgb.square().sum().backward()
    assert trained.material.to_rgb.matrix.grad.any()


def test_a_state_of_a_fixed_map_opens_where_it_is_trained() -> None:
    assert material().state_dict().keys() == material(train_rgb=True).state_dict().keys()


def test_too_few_features_and_maps_without_colors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs 4 features for as many latent channels.*has 3\. Set geometry"):
        material(3)
    with pytest.raises(ValueError, match="three rows from which all colours"):
        LatentRadiance.Config(rgb=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.0, 1.0, 0.0)))
