"""Regularisers of surfaces that are taken from a grid of signed distances."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F

from framework.core.errors import UserError
from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer


@LOSSES.register("sign-changes")
class SignChanges(Loss):
    """Cross entropy of the signs at both ends of crossed grid edges, against floaters and inner faces (nvdiffrec).

    With s and t the distances at the ends, in units of `width`, each end's sign is asked to be that of the other:
    H(sigmoid(s), t > 0) + H(sigmoid(t), s > 0), averaged over the edges (arXiv:2111.12503; L_sign of arXiv:2308.05371).
    """

    needs = frozenset({Buffer.MESH})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        width: float = 0.05
        """Distance from the surface at which a sign counts as clear, world units."""

        def __post_init__(self) -> None:
            if self.width <= 0.0:
                raise ValueError(f"width must be positive, got {self.width:g}.")

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, zero of an empty surface.

        Raises:
            UserError: If the surface comes from no grid.
        """
        crossings = frame.render.require_mesh("loss 'sign-changes'").crossings
        if crossings is None:
            raise UserError(
                "loss 'sign-changes': the surface crosses no grid. Use geometry 'tetrahedral-grid' or 'flexicubes', or "
                "remove the loss."
            )
        others = (crossings.detach().flip(1) >= 0.0).to(crossings.dtype)
        entropy = F.binary_cross_entropy_with_logits(crossings / self.config.width, others, reduction="sum")
        return TermOutput(losses={"sign-changes": entropy / max(1, len(crossings))})


@LOSSES.register("dual-deviation")
class DualDeviation(Loss):
    """Mean deviation of each dual vertex's distances to its crossings: L_dev, for even faces (FlexiCubes, 2308.05371)."""

    needs = frozenset({Buffer.MESH})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, in world units, zero of an empty surface.

        Raises:
            UserError: If the surface has no dual vertices.
        """
        deviation = frame.render.require_mesh("loss 'dual-deviation'").deviation
        if deviation is None:
            raise UserError(
                "loss 'dual-deviation': the surface has no dual vertices. Use geometry 'flexicubes', or remove the loss."
            )
        return TermOutput(losses={"dual-deviation": deviation.sum() / max(1, len(deviation))})
