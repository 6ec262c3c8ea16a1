"""sRGB values and linear light (IEC 61966-2-1); both directions are differentiable everywhere."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def to_linear(values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Linear light of sRGB values; 1 is 1 in both."""
    curved = ((values.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(values <= 0.04045, values / 12.92, curved)


def to_srgb(light: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """sRGB values of linear light, the inverse of `to_linear`."""
    # The clamp keeps the infinite slope of the root at zero out of the gradient of what the straight part covers.
    curved = 1.055 * light.clamp_min(0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, curved)
