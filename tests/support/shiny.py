"""A physically based surface given as a function."""

from __future__ import annotations

import torch
from torch import Tensor


def shiny(positions: Tensor, normals: Tensor) -> Tensor:
    """Channels as `SurfaceProperties.stacked` orders them: base colour, roughness, metallic, normal offset."""
    x, y, z = (0.5 + 0.8 * positions).unbind(dim=1)
    offset = 0.4 * torch.sin(5.0 * positions.roll(1, dims=1))
    return torch.cat([torch.stack([x, y, z, 0.2 + 0.6 * z, 0.1 + 0.8 * x], dim=1), offset], dim=1)
