"""Colours as people tell them apart: CIELAB, and the colour difference CIEDE2000.

A difference of 1 is just visible, one of 10 is seen at a glance; black and white differ by 100.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.srgb import to_linear
from framework.toybox.colors import COLORS
from framework.toybox.parts import RGB

_XYZ_FROM_RGB = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)
"""D65, for the observer of 2 degrees, to which sRGB (IEC 61966-2-1) refers."""
_25_TO_7 = 25.0**7


def lab(rgb: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """CIELAB coordinates L, a, b of sRGB values in [0, 1], under D65."""
    xyz = to_linear(rgb) @ rgb.new_tensor(_XYZ_FROM_RGB).T / rgb.new_tensor(_WHITE)
    delta = 6.0 / 29.0
    x, y, z = torch.where(
        xyz > delta**3, xyz.clamp_min(1e-9) ** (1.0 / 3.0), xyz / (3.0 * delta**2) + 4.0 / 29.0
    ).unbind(-1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=-1)


def ciede2000(first: Float[Tensor, "*n 3"], second: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Difference of two colours in CIELAB, with all parametric factors 1.

    Source: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test
    data, and mathematical observations", 2005; names as there, angles in radians.
    """
    (light_1, a_1, b_1), (light_2, a_2, b_2) = first.unbind(dim=-1), second.unbind(dim=-1)
    gain = 1.5 - 0.5 * _saturated(0.5 * (torch.hypot(a_1, b_1) + torch.hypot(a_2, b_2)))
    chroma_1, chroma_2 = torch.hypot(gain * a_1, b_1), torch.hypot(gain * a_2, b_2)
    hue_1, hue_2 = (torch.atan2(b, gain * a) % (2.0 * math.pi) for a, b in ((a_1, b_1), (a_2, b_2)))
    is_gray = chroma_1 * chroma_2 == 0.0
    turn = hue_2 - hue_1
    far = turn.abs() > math.pi
    turn = torch.where(is_gray, 0.0, turn - far * 2.0 * math.pi * turn.sign())
    total = hue_1 + hue_2
    opposite = torch.where(total < 2.0 * math.pi, 2.0 * math.pi, -2.0 * math.pi)
    hue = torch.where(is_gray, total, 0.5 * (total + far * opposite))
    light, chroma = 0.5 * (light_1 + light_2), 0.5 * (chroma_1 + chroma_2)

    balance = 1.0 + 0.24 * torch.cos(2.0 * hue) + 0.32 * torch.cos(3.0 * hue + math.radians(6.0))
    balance = balance - 0.17 * torch.cos(hue - math.radians(30.0)) - 0.20 * torch.cos(4.0 * hue - math.radians(63.0))
    scale_light = 1.0 + 0.015 * (light - 50.0) ** 2 / torch.sqrt(20.0 + (light - 50.0) ** 2)
    scale_chroma, scale_hue = 1.0 + 0.045 * chroma, 1.0 + 0.015 * chroma * balance
    blue = torch.exp(-(((hue * (180.0 / math.pi) - 275.0) / 25.0) ** 2))
    rotation = -2.0 * _saturated(chroma) * torch.sin(math.radians(60.0) * blue)

    delta_light = (light_2 - light_1) / scale_light
    delta_chroma = (chroma_2 - chroma_1) / scale_chroma
    delta_hue = 2.0 * torch.sqrt(chroma_1 * chroma_2) * torch.sin(0.5 * turn) / scale_hue
    squared = delta_light**2 + delta_chroma**2 + delta_hue**2 + rotation * delta_chroma * delta_hue
    return squared.clamp_min(0.0).sqrt()


def nearest_names(rgb: Float[Tensor, "N 3"]) -> Int[Tensor, "N"]:
    """Which of `COLORS`, in their order, is nearest to sRGB values in [0, 1]."""
    named = lab(rgb.new_tensor(list(COLORS.values())))
    return torch.cdist(lab(rgb), named).argmin(dim=1)


def named_color(rgb: RGB) -> str:
    """The name of the colour of `COLORS` that is nearest in CIELAB."""
    return list(COLORS)[int(nearest_names(torch.tensor([rgb])))]


def _saturated(chroma: Tensor) -> Tensor:
    seventh = chroma**7
    return torch.sqrt(seventh / (seventh + _25_TO_7))
