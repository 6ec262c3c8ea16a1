"""Regularisers of signed distance fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.losses.field import ask, draw_rows, points_in_cube, sample_positions
from framework.structures.field import Attribute
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer

_USER = "loss 'eikonal'"


@LOSSES.register("eikonal")
class Eikonal(Loss):
    """Mean of (|gradient| - 1)^2: what keeps a signed distance a distance (IGR, arXiv:2002.10099; NeuS).

    The gradient is the geometry's own, so that it is taken over the same distance as the normals (Neuralangelo).
    """

    asks = frozenset({Attribute.GRADIENT})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        points: Literal["cube", "samples"] = "cube"
        """Where: anywhere in the cube, or at samples of the volume renderer, which lie near the surface."""
        num_points: int = 4096
        """Points drawn in each step."""

        def __post_init__(self) -> None:
            if self.num_points < 1:
                raise ValueError(f"num_points must be positive, got {self.num_points}.")

    config: Config

    def __init__(self, config: Config, *, prompt: str = "") -> None:
        super().__init__(config, prompt=prompt)
        self.needs = self.needs_of(config)

    @classmethod
    def needs_of(cls, config: Any) -> frozenset[Buffer]:
        """Ray samples, if these are the points."""
        return frozenset({Buffer.SAMPLES}) if config.points == "samples" else frozenset()

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss; zero where there is no sample to look at."""
        if self.config.points == "cube":
            positions = points_in_cube(frame, self.config.num_points, _USER)
        else:
            positions = sample_positions(frame, _USER)
            positions = positions[draw_rows(frame, len(positions), self.config.num_points, _USER)]
        gradient = ask(frame, positions, Attribute.GRADIENT).gradient
        assert gradient is not None
        excess = gradient.norm(dim=1) - 1.0
        return TermOutput(losses={"eikonal": excess.square().sum() / max(1, len(positions))})
