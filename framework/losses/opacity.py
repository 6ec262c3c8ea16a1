"""Regularisers of the rendered opacity."""

from __future__ import annotations

from dataclasses import dataclass

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer

_SHARPNESS = 0.01
_MARGIN = 1e-3


@LOSSES.register("sparsity")
class Sparsity(Loss):
    """Mean of sqrt(opacity^2 + 0.01): favours empty pixels and thereby clears fog (DreamFusion's threestudio form)."""

    needs = frozenset({Buffer.OPACITY})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, from 0.1 of an empty to 1.005 of a full image."""
        opacity = frame.render.require(Buffer.OPACITY, "loss 'sparsity'")
        return TermOutput(losses={"sparsity": (opacity.square() + _SHARPNESS).sqrt().mean()})


@LOSSES.register("binarization")
class Binarization(Loss):
    """Mean binary entropy of the opacity: favours pixels that are either empty or full."""

    needs = frozenset({Buffer.OPACITY})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss in nats, at most log 2; opacities beyond [0.001, 0.999] are left alone."""
        opacity = frame.render.require(Buffer.OPACITY, "loss 'binarization'").clamp(_MARGIN, 1.0 - _MARGIN)
        entropy = -opacity * opacity.log() - (1.0 - opacity) * (1.0 - opacity).log()
        return TermOutput(losses={"binarization": entropy.mean()})
