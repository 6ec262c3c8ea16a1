"""How near a mesh comes to its scene, for meshes that are known to be right or wrong."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from framework.core.step import named_generator
from framework.export.fidelity import compare
from framework.export.threshold import silhouette_views
from framework.materials.physically_based import PhysicallyBased
from framework.structures.mesh import Mesh, SurfaceTextures

COLOR, ROUGHNESS, METALLIC = (0.8, 0.5, 0.2), 0.3, 0.7


@pytest.fixture
def fidelity(make_scene, renderer, step):
    """Compares a mesh with a ball of radius 0.5 of one colour, or of one physically based surface."""
    config = PhysicallyBased.Config(roughness_range=(ROUGHNESS, ROUGHNESS), metallic_range=(METALLIC, METALLIC))
    shiny = PhysicallyBased(config, num_features=5, generator=named_generator(0, "test"))

    def measured(mesh: Mesh, *, is_shiny: bool = False):
        values = torch.tensor([*COLOR, 0.5, 0.5] if is_shiny else COLOR)
        scene = make_scene(
            lambda p: 300.0 * (p.norm(dim=1) < 0.5), lambda p: values.expand(len(p), -1), shiny if is_shiny else None
        )
        views = silhouette_views(1.0)
        return compare(mesh, scene, renderer, views, renderer.render(views, scene, frozenset(), step), step)

    return measured


@pytest.fixture
def ball(shiny_ball) -> Mesh:
    """The ball itself, with textures of its one surface."""
    texture = torch.tensor(COLOR).expand(8, 8, 3).contiguous()
    orm = torch.tensor([1.0, ROUGHNESS, METALLIC]).expand(8, 8, 3).contiguous()
    return dataclasses.replace(shiny_ball, texture=texture, surface=SurfaceTextures(orm))


@pytest.mark.parametrize("is_shiny", [False, True])
def test_the_right_mesh_looks_like_its_scene(fidelity, ball, is_shiny) -> None:
    found = fidelity(ball, is_shiny=is_shiny)
    assert found.silhouette_iou > 0.97 and found.psnr > 27.0
    if is_shiny:
        assert found.lit_psnr > 27.0
    else:
        assert found.lit_psnr is None


def test_each_fault_shows_in_its_own_figure(fidelity, ball) -> None:
    good = fidelity(ball, is_shiny=True)
    small = fidelity(dataclasses.replace(ball, vertices=0.8 * ball.vertices), is_shiny=True)
    assert small.silhouette_iou == pytest.approx(0.64, abs=0.03)
    pale = fidelity(dataclasses.replace(ball, texture=ball.texture.sqrt()), is_shiny=True)
    assert pale.silhouette_iou == good.silhouette_iou and pale.psnr < good.psnr - 6.0
    dull = fidelity(dataclasses.replace(ball, surface=SurfaceTextures(torch.ones(8, 8, 3))), is_shiny=True)
    assert dull.psnr == good.psnr and dull.lit_psnr < good.lit_psnr - 6.0
    bent = dataclasses.replace(ball, normals=F.normalize(ball.normals + torch.tensor([0.0, 0.0, 0.7]), dim=1))
    assert fidelity(bent, is_shiny=True).lit_psnr < good.lit_psnr - 3.0
