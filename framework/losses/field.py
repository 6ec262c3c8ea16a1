"""Points at which a loss asks the geometry itself, beside what the render shows of it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.field import Attribute, FieldQuery, FieldSample
from framework.structures.losses import Frame


def ask(frame: Frame, positions: Float[Tensor, "N 3"], want: Attribute) -> FieldSample:
    """What the geometry of the frame's scene answers at world positions."""
    return _geometry(frame).query(FieldQuery(positions, frame.step, frozenset({want})))


def points_in_cube(frame: Frame, count: int, user: str) -> Float[Tensor, "N 3"]:
    """World positions drawn uniformly from the cube of the frame's geometry, anew in each step."""
    device = frame.views.device
    uniform = torch.rand(count, 3, generator=frame.step.batch_generator(user, device), device=device)
    return (2.0 * uniform - 1.0) * _geometry(frame).config.radius


def sample_positions(frame: Frame, user: str) -> Float[Tensor, "M 3"]:
    """World positions of the samples behind the render; raises `MissingBuffer` where there are none."""
    return frame.render.require_volume(user).samples.positions(frame.views.cameras.rays())


def draw_rows(frame: Frame, num_rows: int, count: int, user: str) -> Tensor:
    """At most `count` of the numbers below `num_rows`, no number twice."""
    device = frame.views.device
    return torch.randperm(num_rows, generator=frame.step.generator(user, device), device=device)[:count]


def _geometry(frame: Frame) -> Any:
    return frame.scene.geometry
