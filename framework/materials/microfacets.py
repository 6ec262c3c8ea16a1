"""The reflectance of rough surfaces in glTF 2.0 (appendix B), and its integrals under light from all sides.

Directions: n normal, v to the viewer, l to the light, h half way between them; `n_v` is the cosine between n and v, and
so on. alpha is the square of the roughness that artists set. A surface reflects

    f = (1 - F) c / pi + F D V,   F = f0 + (1 - f0) (1 - v_h)^5,

with c the diffuse colour and f0 what is mirrored head-on. Both parts are linear in f0, so three numbers for each viewing
angle and roughness hold all that light of equal strength from everywhere needs (the split sum: Karis, "Real Shading in
Unreal Engine 4", 2013).
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_SIZE = 48  # nodes along each side of the table
_HEIGHTS, _TURNS = 32, 12  # strata over which an entry is integrated
_LEAST_COSINE = 1e-3
LEAST_ALPHA = 1e-3
"""Below this a surface counts as a perfect mirror that still has a finite lobe."""


def ggx(n_h: Float[Tensor, "..."], alpha: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Density D of microfacets facing h, per steradian (Walter et al. 2007, eq. 33)."""
    squared = alpha.square()
    return squared / (math.pi * (n_h.square() * (squared - 1.0) + 1.0).square())


def smith_visibility(
    n_v: Float[Tensor, "..."], n_l: Float[Tensor, "..."], alpha: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """V = G / (4 n_v n_l) with height-correlated masking and shadowing (Heitz 2014, eq. 99)."""
    squared = alpha.square()
    toward_viewer = n_l * torch.sqrt(n_v.square() * (1.0 - squared) + squared)
    toward_light = n_v * torch.sqrt(n_l.square() * (1.0 - squared) + squared)
    return 0.5 / (toward_viewer + toward_light)


def lookup(
    table: Float[Tensor, "3 R C"], n_v: Float[Tensor, "N"], roughness: Float[Tensor, "N"]
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Scale and bias of f0, and the diffuse share, at cosines and roughnesses in [0, 1]; see `integrals`."""
    places = torch.stack([2.0 * n_v - 1.0, 2.0 * roughness - 1.0], dim=-1)
    found = F.grid_sample(table[None], places[None, None], align_corners=True, padding_mode="border")
    scale, bias, diffuse = found[0, :, 0]
    return scale, bias, diffuse


@functools.cache
def integrals() -> Float[Tensor, "3 R C"]:
    """What the reflectance amounts to under light of strength 1 from everywhere; rows roughness, columns n_v, 0 to 1.

    A surface then shows `f0 * scale + bias` by its microfacets, Karis' split sum, and `c * (1 - f0) * diffuse` below
    them: what is not mirrored, integrated as exactly. The channels are scale, bias and diffuse.
    """
    line = torch.linspace(0.0, 1.0, _SIZE, dtype=torch.float64)
    alpha = line.square().clamp_min(LEAST_ALPHA)[:, None, None]
    n_v = line.clamp_min(_LEAST_COSINE)[None, :, None]
    # Midpoints of strata; by symmetry half a turn about the normal is enough. Directions are drawn by 1 - share^2, which
    # makes what is integrated smooth at the horizon.
    share = (torch.arange(_HEIGHTS, dtype=torch.float64) + 0.5) / _HEIGHTS
    turn = (torch.arange(_TURNS, dtype=torch.float64) + 0.5) * (math.pi / _TURNS)
    share, turn = (axis.reshape(1, 1, -1) for axis in torch.meshgrid(share, turn, indexing="ij"))
    scale, bias = _mirrored(n_v, alpha, share, turn)
    diffuse = _passed(n_v, share, turn).expand_as(scale)
    return torch.stack([scale, bias, diffuse]).float()


def _mirrored(n_v: Tensor, alpha: Tensor, share: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Integrals of (1 - fresnel) D V n_l and fresnel D V n_l over l, h drawn in proportion to D n_h."""
    n_h = share / torch.sqrt(1.0 + (alpha.square() - 1.0) * (1.0 - share.square()))
    v_h = n_v * n_h + _sine(n_v) * _sine(n_h) * torch.cos(turn)
    n_l = (2.0 * v_h * n_h - n_v).clamp_min(0.0)
    weight = 4.0 * smith_visibility(n_v, n_l, alpha) * n_l * v_h.clamp_min(0.0) / n_h * (2.0 * share)
    fresnel = (1.0 - v_h.clamp(0.0, 1.0)) ** 5
    return ((1.0 - fresnel) * weight).mean(dim=-1), (fresnel * weight).mean(dim=-1)


def _passed(n_v: Tensor, share: Tensor, turn: Tensor) -> Tensor:
    """Integral of (1 - fresnel) n_l / pi over l, drawn in proportion to n_l, which is then `share`."""
    v_l = n_v * share + _sine(n_v) * _sine(share) * torch.cos(turn)
    v_h = torch.sqrt(0.5 * (1.0 + v_l))
    return ((1.0 - (1.0 - v_h) ** 5) * (2.0 * share)).mean(dim=-1)


def _sine(cosine: Tensor) -> Tensor:
    return torch.sqrt((1.0 - cosine.square()).clamp_min(0.0))
