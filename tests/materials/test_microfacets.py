"""The reflectance of rough surfaces and its integrals, against direct integration."""

from __future__ import annotations

import math

import pytest
import torch

from framework.materials.microfacets import ggx, integrals, lookup, smith_visibility


def hemisphere(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random unit vectors with z > 0, equally likely per solid angle, and z alone."""
    generator = torch.Generator().manual_seed(0)
    z, turn = torch.rand(2, count, generator=generator, dtype=torch.float64)
    flat, turn = torch.sqrt(1.0 - z.square()), 2.0 * math.pi * turn
    return torch.stack([flat * turn.cos(), flat * turn.sin(), z], dim=-1), z


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_microfacets_cover_the_surface_once(alpha: float) -> None:
    n_h = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    density = ggx(n_h, torch.tensor(alpha, dtype=torch.float64))
    assert (2.0 * math.pi * (density * n_h).mean()).item() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("n_v", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("roughness", [0.45, 0.7, 1.0])
def test_the_integrals_equal_monte_carlo_ones(n_v: float, roughness: float) -> None:
    light, n_l = hemisphere(400_000)
    viewer = torch.tensor([math.sqrt(1.0 - n_v**2), 0.0, n_v], dtype=torch.float64)
    half = torch.nn.functional.normalize(light + viewer, dim=-1)
    fresnel = (1.0 - half @ viewer) ** 5
    alpha = torch.tensor(roughness**2, dtype=torch.float64)
    mirror = ggx(half[:, 2], alpha) * smith_visibility(torch.full_like(n_l, n_v), n_l, alpha) * n_l
    expected = [(1.0 - fresnel) * mirror, fresnel * mirror, (1.0 - fresnel) * n_l / math.pi]
    found = lookup(integrals(), torch.tensor([n_v]), torch.tensor([roughness]))
    for value, reference in zip(found, expected, strict=True):
        assert value.item() == pytest.approx(2.0 * math.pi * reference.mean().item(), rel=0.02, abs=1e-3)


def test_no_surface_returns_more_than_it_receives() -> None:
    scale, bias, diffuse = integrals()
    assert float((scale + bias).max()) <= 1.003 and float(integrals().min()) >= 0.0
    # The light below the surface is only what the microfacets let through on its way in.
    assert float(diffuse.max()) <= 1.0


def test_a_smooth_surface_mirrors_by_fresnels_term_alone() -> None:
    n_v = torch.tensor([0.3, 0.6, 0.9])
    scale, bias, _ = lookup(integrals(), n_v, torch.full((3,), 0.05))
    assert torch.allclose(bias, (1.0 - n_v) ** 5, atol=0.01)
    assert torch.allclose(scale + bias, torch.ones(3), atol=0.01)
