"""A coarse shape that the density is to follow away from its surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from framework.core.component import slot
from framework.core.registries import LOSSES, SHAPE_INITIALIZATIONS
from framework.losses.base import Loss
from framework.losses.field import ask, points_in_cube
from framework.structures.field import Attribute
from framework.structures.losses import Frame, TermOutput

_SMALLEST_DENSITY = 1e-6
_USER = "loss 'shape-guide'"


@LOSSES.register("shape-guide")
class ShapeGuide(Loss):
    """Opaque inside and empty outside a guide shape, ever less so near its surface (Latent-NeRF, arXiv:2211.07600).

    The mean over random points of the cube of BCE(1 - exp(-thickness density), is inside) (1 - exp(-d^2 / (2 width^2))),
    with d the distance to the guide's surface.
    """

    asks = frozenset({Attribute.DENSITY})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        shape: Any = slot(SHAPE_INITIALIZATIONS, default="sphere")
        """The guide; `{type: mesh, path: ...}` reads a sketch from a file."""
        width: float = 0.3
        """How far from the guide's surface the shape is free, world units."""
        thickness: float = 0.2
        """Length at which a density counts as opaque or not, world units."""
        num_points: int = 4096
        """Points drawn in each step."""

        def __post_init__(self) -> None:
            if min(self.width, self.thickness) <= 0.0 or self.num_points < 1:
                sizes = f"{self.width:g}, {self.thickness:g} and {self.num_points}"
                raise ValueError(f"width, thickness and num_points must be positive, got {sizes}.")

    config: Config

    def __init__(self, config: Config, *, prompt: str = "") -> None:
        super().__init__(config, prompt=prompt)
        self._guide = SHAPE_INITIALIZATIONS.build(config.shape, backends={})

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss in nats."""
        positions = points_in_cube(frame, self.config.num_points, _USER)
        density = ask(frame, positions, Attribute.DENSITY).density
        assert density is not None
        with torch.no_grad():
            distance = self._guide.signed_distance(positions)
            trust = -torch.expm1(-0.5 * (distance / self.config.width).square())
        opacity = -torch.expm1(-self.config.thickness * density.clamp(min=_SMALLEST_DENSITY))
        entropy = F.binary_cross_entropy(opacity, (distance < 0.0).to(opacity), reduction="none")
        return TermOutput(losses={"shape-guide": (trust * entropy).mean()})
