"""What surfaces show of the light from all sides, against closed forms and direct integration."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from framework.materials.base import SurfaceProperties
from framework.materials.environment_light import directions_of
from framework.materials.microfacets import ggx, smith_visibility
from framework.materials.surroundings import Surroundings
from framework.structures.srgb import to_srgb

COUNT = 400


def uniform() -> Surroundings:
    return Surroundings.load("uniform", brightness=1.0)


def sky() -> Surroundings:
    return Surroundings.load("sky", brightness=1.0)


def seen(count: int = COUNT, *, least: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Random normals, and directions to viewers before them: their cosines are `least` or more."""
    generator = torch.Generator().manual_seed(0)
    normals, viewers = F.normalize(torch.randn(2, 20 * count, 3, generator=generator), dim=-1)
    is_before = (normals * viewers).sum(dim=1) > least
    return normals[is_before][:count], viewers[is_before][:count]


def reflected(surroundings: Surroundings, base: Any, metallic: float, roughness: float) -> torch.Tensor:
    normals, viewers = seen()
    colors = torch.as_tensor(base, dtype=torch.float32).expand(COUNT, 3)
    ones = torch.ones(COUNT)
    return surroundings.reflected(colors, metallic * ones, roughness * ones, normals, viewers)


@pytest.mark.parametrize(("roughness", "most"), [(0.7, 1.02), (1.0, 1.0)])
def test_a_rough_white_dielectric_in_a_white_furnace_is_about_white(roughness: float, most: float) -> None:
    # The smoother, the more the model of glTF 2.0 itself exceeds one at grazing angles.
    shown = reflected(uniform(), 1.0, 0.0, roughness)
    assert float(shown.max()) <= most and float(shown.min()) > 0.94


def test_a_white_metal_in_a_white_furnace_returns_what_its_microfacets_do_and_less_the_rougher_it_is() -> None:
    means = []
    for roughness in (0.1, 0.4, 0.7, 1.0):
        shown = reflected(uniform(), 1.0, 1.0, roughness)
        assert float(shown.max()) <= 1.0
        means.append(shown.mean().item())
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.97 and 0.35 < means[-1] < 0.55  # one bounce only, as in glTF 2.0: the rest is lost


def test_a_mirror_shows_the_surrounding_in_the_reflected_direction() -> None:
    mirror = sky()
    normals, viewers = seen()
    direction = 2.0 * (normals * viewers).sum(dim=1, keepdim=True) * normals - viewers
    expected = mirror.light.mirrored(direction, torch.zeros(COUNT))
    shown = reflected(mirror, 1.0, 1.0, 0.0)
    assert torch.allclose(shown, expected, rtol=0.02)


def test_a_dielectric_is_linear_in_its_color_beside_what_it_mirrors() -> None:
    surface = sky()
    black, half, white = (reflected(surface, base, 0.0, 0.5) for base in (0.0, 0.5, 1.0))
    assert torch.allclose(half, 0.5 * (black + white), atol=1e-6)
    assert float(black.min()) > 0.0


@pytest.mark.parametrize(
    ("metallic", "roughness", "tolerance"), [(0.0, 0.8, 0.01), (0.0, 0.4, 0.02), (1.0, 0.3, 0.06), (1.0, 0.8, 0.07)]
)
def test_a_surface_shows_what_direct_integration_of_the_surrounding_gives(metallic, roughness, tolerance) -> None:
    surface, base = sky(), torch.tensor([0.7, 0.4, 0.2])
    normals, viewers = seen(least=0.5)
    ones = torch.ones(COUNT)
    shown = surface.reflected(base.expand(COUNT, 3), metallic * ones, roughness * ones, normals, viewers)
    expected = integrated(surface, base, metallic, roughness, normals, viewers)
    error = (shown - expected).norm(dim=1) / expected.norm(dim=1)
    assert error.mean().item() < tolerance


def integrated(surface, base, metallic, roughness, normals, viewers) -> torch.Tensor:
    """Sum over the texels of the panorama of glTF's reflectance (appendix B) times light times cosine."""
    image = surface.light.levels[0, :, 0, 1:-1, 1:-1].permute(1, 2, 0)
    rows = len(image)
    polar = (torch.arange(rows) + 0.5) * math.pi / rows
    solid_angle = (torch.sin(polar) * (math.pi / rows) ** 2).repeat_interleave(2 * rows)
    light = directions_of(rows).reshape(-1, 3)
    n_l = (normals @ light.T).clamp_min(0.0)
    n_v = (normals * viewers).sum(dim=1, keepdim=True)
    half = F.normalize(light[None] + viewers[:, None], dim=-1)
    n_h, v_h = (half * normals[:, None]).sum(-1), (half * viewers[:, None]).sum(-1)
    alpha = torch.tensor(roughness**2)
    mirror = ggx(n_h, alpha) * smith_visibility(n_v, n_l.clamp_min(1e-6), alpha)
    head_on = 0.04 * (1.0 - metallic) + base * metallic
    fresnel = head_on + (1.0 - head_on) * ((1.0 - v_h.clamp(0.0, 1.0)) ** 5)[..., None]
    f = (1.0 - fresnel) * base * (1.0 - metallic) / math.pi + fresnel * mirror[..., None]
    return torch.einsum("nlc,nl,lc,l->nc", f, n_l, image.reshape(-1, 3), solid_angle)


def test_turning_light_camera_and_normals_together_changes_no_color() -> None:
    surface, angle = sky(), 0.7
    normals, viewers = seen()
    turn = torch.tensor([[math.cos(angle), math.sin(angle), 0.0], [-math.sin(angle), math.cos(angle), 0.0], [0, 0, 1]])
    values = torch.full((COUNT, 3), 0.6), torch.full((COUNT,), 0.5), torch.full((COUNT,), 0.3)
    before = surface.reflected(*values, normals, viewers)
    after = surface.reflected(*values, normals @ turn, viewers @ turn, turn=angle)
    assert torch.allclose(after, before, atol=1e-4)


def test_colors_are_the_reflected_light_in_srgb_at_normals_with_their_offset() -> None:
    normals, viewers = seen(least=0.6)
    generator = torch.Generator().manual_seed(1)
    base, offset = torch.rand(COUNT, 3, generator=generator) * 0.4, 0.3 * torch.randn(COUNT, 3, generator=generator)
    roughness, metallic = torch.rand(2, COUNT, generator=generator)
    dim = Surroundings.load("sky", brightness=0.1)
    linear = dim.reflected(base, metallic, roughness, F.normalize(normals + offset, dim=1), viewers)
    shown = dim.color(SurfaceProperties(to_srgb(base), roughness, metallic, offset), normals, viewers)
    is_dim = (linear < 0.8).all(dim=1)
    assert is_dim.sum() > 0.9 * COUNT
    assert torch.allclose(shown[is_dim], to_srgb(linear[is_dim]), atol=1e-5)


def test_dazzling_light_stays_below_white_in_the_same_order() -> None:
    normals, viewers = seen()
    ones = torch.ones(COUNT)
    grays = torch.linspace(0.3, 1.0, COUNT)
    surface = SurfaceProperties(grays[:, None].expand(COUNT, 3), ones, 0.0 * ones)
    shown = Surroundings.load("uniform", brightness=2.0).color(
        surface, normals[:1].expand_as(normals), viewers[:1].expand_as(viewers)
    )
    assert float(shown.max()) < 1.0 and bool((shown[:, 0].diff() > 0.0).all())
