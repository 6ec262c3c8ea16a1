"""The surface that browsers draw, of each kind of geometry."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from framework.core.registries import RENDERERS
from framework.core.step import StepInfo
from framework.renderers.base import Renderer, Scene
from framework.viewer.surface import coloured_surface

STEP = StepInfo(3, 10, mode="validate")


def renderer(name: str) -> Renderer:
    built: Renderer = RENDERERS.build(RENDERERS.find(name).Config(), backends={"ray-sampling": "torch"})
    return built


def test_of_a_density(make_solid: Callable[..., Scene]) -> None:
    mesh = coloured_surface(make_solid(ball=0.5, density=50.0), renderer("volume"), STEP)
    assert mesh.colors is not None and mesh.colors.shape == mesh.vertices.shape
    assert mesh.vertices.norm(dim=1).mean().item() == pytest.approx(0.5, abs=0.04)
    assert torch.allclose(mesh.colors, torch.tensor(0.5), atol=1e-3)


@pytest.mark.parametrize(
    ("geometry", "drawn_by"),
    [("signed-distance-field", "sdf-volume"), ("tetrahedral-grid", "rasterizer"), ("triangle-mesh", "rasterizer")],
)
def test_of_other_geometries(make_scene: Callable[..., Scene], geometry: str, drawn_by: str) -> None:
    mesh = coloured_surface(make_scene(geometry), renderer(drawn_by), STEP)
    assert mesh.colors is not None and len(mesh.faces) > 100
    assert mesh.vertices.norm(dim=1).std() < 0.05, "a sphere, at the beginning"
