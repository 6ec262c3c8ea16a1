"""Regularisers of the rendered depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer

_SMALLEST_CONTRAST = 0.05


@LOSSES.register("depth-contrast")
class DepthContrast(Loss):
    """-log(mean depth of the image's middle - that of its border): keeps the object in the middle (SJC, arXiv:2212.00774).

    Depth is weighted by opacity, so that empty pixels have none. Below a contrast of 0.05 world units the logarithm goes
    on as its tangent, which has a value and a slope where the border is the deeper one.
    """

    needs = frozenset({Buffer.DEPTH})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        middle: float = 0.78125
        """Share of height and width that counts as the middle."""

        def __post_init__(self) -> None:
            if not 0.0 < self.middle < 1.0:
                raise ValueError(f"middle must lie in (0, 1), got {self.middle:g}.")

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, a mean over views."""
        depth = frame.render.require(Buffer.DEPTH, "loss 'depth-contrast'")[..., 0]
        is_middle = self._is_middle(depth)
        inner = (depth * is_middle).sum(dim=(1, 2)) / is_middle.sum()
        outer = (depth * ~is_middle).sum(dim=(1, 2)) / (~is_middle).sum()
        return TermOutput(losses={"depth-contrast": -_log_with_tangent(inner - outer).mean()})

    def _is_middle(self, depth: Float[Tensor, "B H W"]) -> Tensor:
        """Pixels of the middle, (H, W); of three pixels a side or more neither it nor the border is empty."""
        mask = torch.zeros(depth.shape[1:], dtype=torch.bool, device=depth.device)
        widths = ((round(0.5 * (1.0 - self.config.middle) * side), (side - 1) // 2) for side in mask.shape)
        border = [max(1, min(width)) for width in widths]
        mask[border[0] : -border[0], border[1] : -border[1]] = True
        return mask


def _log_with_tangent(x: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """log(x), continued below `_SMALLEST_CONTRAST` by its tangent there."""
    tangent = math.log(_SMALLEST_CONTRAST) + (x - _SMALLEST_CONTRAST) / _SMALLEST_CONTRAST
    return torch.where(x > _SMALLEST_CONTRAST, x.clamp(min=_SMALLEST_CONTRAST).log(), tangent)
