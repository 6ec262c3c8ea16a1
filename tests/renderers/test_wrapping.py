"""Renderers that draw with another one: what they promise follows from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from framework.core.registries import GEOMETRIES, RENDERERS
from framework.core.step import StepInfo
from framework.renderers.base import Scene
from framework.renderers.wrapping import with_cameras
from framework.structures.render_output import Buffer
from framework.structures.views import Views

NAMES = ("patch", "strided")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("base", ["volume", "rasterizer"])
def test_it_draws_what_its_base_draws(name: str, base: str) -> None:
    config = RENDERERS.find(name).Config(base=RENDERERS.find(base).Config())
    for geometry in map(GEOMETRIES.find, GEOMETRIES.names()):
        assert RENDERERS.find(name).can_draw(config, geometry) == RENDERERS.find(base).can_draw(config.base, geometry)


@pytest.mark.parametrize("name", NAMES)
def test_it_provides_the_images_and_the_mesh_of_its_base(name: str) -> None:
    images = {Buffer.RGB, Buffer.OPACITY, Buffer.DEPTH, Buffer.NORMAL, Buffer.LATENT}
    for base, expected in (("volume", images), ("rasterizer", images | {Buffer.MESH})):
        config = RENDERERS.find(name).Config(base=RENDERERS.find(base).Config())
        assert RENDERERS.find(name).provides_of(config) == expected
        assert RENDERERS.build(config, backends={}).provides == expected


@pytest.mark.parametrize(("renderer", "geometry"), [("rasterizer", "triangle-mesh"), ("volume", "voxel-grid")])
def test_renderers_draw_parts_of_an_image_as_they_draw_the_whole(
    make_scene: Callable[..., Scene], renderer: str, geometry: str
) -> None:
    one = torch.ones(2)
    views = Views.orbit(torch.tensor([0.3, 2.0]), 0.3 * one, 3.0 * one, 0.7 * one, height=24, width=20)
    scene, needs = make_scene(geometry), frozenset({Buffer.NORMAL})
    drawing = RENDERERS.build(RENDERERS.find(renderer).Config(), backends={})
    whole, crop, every = (
        drawing.render(with_cameras(views, cameras), scene, needs, StepInfo(0, 1, mode="test"))
        for cameras in (views.cameras, views.cameras.crop(3, 2, 16, 17), views.cameras.every(3, row=1, column=2))
    )
    for name in ("rgb", "opacity", "depth", "normal"):
        image = getattr(whole, name)
        # Outlines are antialiased by what stands beside a pixel, which for the outermost of a part is not there.
        inner = getattr(crop, name)[:, 1:-1, 1:-1]
        torch.testing.assert_close(inner, image[:, 4:18, 3:18], atol=2e-3, rtol=0.0)
        covered = (whole.opacity[:, 1::3, 2::3] == 1.0) & (every.opacity == 1.0) | (renderer == "volume")
        assert bool(covered.any())
        torch.testing.assert_close(getattr(every, name) * covered, image[:, 1::3, 2::3] * covered, atol=2e-3, rtol=0.0)
