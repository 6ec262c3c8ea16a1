"""Regularisers of geometries that are a regular grid of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.losses.field import ask
from framework.structures.field import Attribute
from framework.structures.losses import Frame, TermOutput

_SMALLEST = 1e-8  # square of a change below which the root counts as flat, where its slope would be infinite


@LOSSES.register("grid-variation")
class GridVariation(Loss):
    """Mean change of a grid's values from cell to cell: the total variation of Plenoxels (arXiv:2112.05131, eq. 4).

    The length of the vector of differences to the next cell along x, y and z, averaged over cells and channels.
    """

    asks = frozenset({Attribute.GRID})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        of: Literal["shape", "features", "all"] = "all"
        """The values that are compared, before their activation: what makes the density, what the material sees, or both."""

    config: Config

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, zero of a constant grid."""
        grid = ask(frame, frame.views.cameras.positions[:0], Attribute.GRID).grid
        assert grid is not None
        part = {"shape": slice(0, 1), "features": slice(1, None), "all": slice(None)}[self.config.of]
        return TermOutput(losses={"grid-variation": variation(grid[part])})


def variation(grid: Float[Tensor, "C D H W"]) -> Float[Tensor, ""]:
    """Mean length of the differences to the next values along each axis."""
    inner = grid[:, :-1, :-1, :-1]
    squares = [
        (
            grid.narrow(axis, 1, grid.shape[axis] - 1)[:, : inner.shape[1], : inner.shape[2], : inner.shape[3]] - inner
        ).square()
        for axis in (1, 2, 3)
    ]
    return ((squares[0] + squares[1] + squares[2] + _SMALLEST).sqrt() - _SMALLEST**0.5).mean()
