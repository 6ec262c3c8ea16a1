"""Smoothness of rendered images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer

_OPAQUE = 0.5


@LOSSES.register("total-variation")
class TotalVariation(Loss):
    """Mean difference between neighbouring pixels, down plus right (Rudin, Osher and Fatemi 1992, anisotropic)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        of: Literal["rgb", "normal", "depth", "opacity"] = "rgb"
        """The image whose pixels are compared."""

    config: Config

    def __init__(self, config: Config, *, prompt: str = "") -> None:
        super().__init__(config, prompt=prompt)
        self.needs = self.needs_of(config)

    @classmethod
    def needs_of(cls, config: Any) -> frozenset[Buffer]:
        """The image that is compared."""
        return frozenset({Buffer(config.of)})

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss."""
        image = frame.render.require(Buffer(self.config.of), "loss 'total-variation'")
        down, right = neighbour_differences(image)
        return TermOutput(losses={"total-variation": down.abs().mean() + right.abs().mean()})


@LOSSES.register("normal-smoothness-2d")
class NormalSmoothness2d(Loss):
    """Mean square difference between the normals of neighbouring opaque pixels (Magic123, arXiv:2306.17843)."""

    needs = frozenset({Buffer.NORMAL, Buffer.OPACITY})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, down plus right; zero where nothing is opaque."""
        user = "loss 'normal-smoothness-2d'"
        opacity = frame.render.require(Buffer.OPACITY, user).detach()
        losses = [
            (difference.square().mean(dim=-1, keepdim=True) * is_kept).sum() / is_kept.sum().clamp(min=1)
            for difference, is_kept in zip(
                neighbour_differences(frame.render.require(Buffer.NORMAL, user)),
                (_both_opaque(opacity, axis) for axis in (1, 2)),
                strict=True,
            )
        ]
        return TermOutput(losses={"normal-smoothness-2d": losses[0] + losses[1]})


def neighbour_differences(
    image: Float[Tensor, "B H W C"],
) -> tuple[Float[Tensor, "B H-1 W C"], Float[Tensor, "B H W-1 C"]]:
    """Each pixel's lower, and each pixel's right neighbour, minus the pixel."""
    return image.diff(dim=1), image.diff(dim=2)


def _both_opaque(opacity: Float[Tensor, "B H W 1"], axis: int) -> Tensor:
    length = opacity.shape[axis] - 1
    is_opaque = opacity > _OPAQUE
    return is_opaque.narrow(axis, 0, length) & is_opaque.narrow(axis, 1, length)
