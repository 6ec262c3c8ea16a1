"""Points to shade."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from framework.structures.field import ShadingPoints


@pytest.fixture
def make_points() -> Callable[..., ShadingPoints]:
    """Two points at the origin whose normals and lights are along +z, seen from above; any field can be replaced."""

    def make(**changes: Any) -> ShadingPoints:
        up = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        fields: dict[str, Any] = {
            "positions": torch.zeros(2, 3),
            "view_directions": -up,
            "normals": up,
            "light_positions": 3.0 * up,
            "ambient": torch.tensor([0.25, 0.25]),
            "diffuse": torch.tensor([0.5, 0.5]),
            "is_textureless": torch.zeros(2),
        }
        return ShadingPoints(**{**fields, **changes})

    return make


@pytest.fixture
def no_points(make_points: Callable[..., ShadingPoints]) -> ShadingPoints:
    """What a renderer that sees nothing has to shade."""
    return ShadingPoints(**{name: value[:0] for name, value in vars(make_points()).items()})
