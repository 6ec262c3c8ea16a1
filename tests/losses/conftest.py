"""Frames made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.core.step import StepInfo
from framework.structures.field import FieldQuery, FieldSample
from framework.structures.losses import Frame
from framework.structures.mesh import Mesh
from framework.structures.render_output import RenderOutput, VolumeSamples
from framework.structures.views import Views


class Field(torch.nn.Module):
    """A geometry in the cube of half side 2 that answers by a function of positions; it keeps what it was asked."""

    @dataclass
    class Config:
        radius: float = 2.0

    def __init__(self, answer: Callable[[Tensor], FieldSample]) -> None:
        super().__init__()
        self.config = self.Config()
        self.answer = answer
        self.queries: list[FieldQuery] = []

    def query(self, query: FieldQuery) -> FieldSample:
        self.queries.append(query)
        return self.answer(query.positions)


@pytest.fixture
def make_field() -> type[Field]:
    """Geometries by what they answer."""
    return Field


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    """A frame of one view with the given opacity (H, W) and depth, and what else a test gives it."""

    def make(
        opacity: Tensor,
        *,
        depth: Tensor | None = None,
        rgb: Tensor | None = None,
        normal: Tensor | None = None,
        volume: VolumeSamples | None = None,
        mesh: Mesh | None = None,
        field: Any = None,
    ) -> Frame:
        height, width = opacity.shape
        image = opacity[None, :, :, None]
        one = torch.ones(1)
        views = Views.orbit(0.0 * one, 0.0 * one, 3.0 * one, one, height=height, width=width)
        render = RenderOutput(
            rgb=image.expand(1, height, width, 3) if rgb is None else rgb,
            opacity=image,
            depth=image if depth is None else depth[None, :, :, None],
            renderer="test",
            normal=normal,
            volume=volume,
            mesh=mesh,
        )
        scene = torch.nn.Module()
        if field is not None:
            scene.geometry = field
        return Frame(scene, views, render, StepInfo(0, 1))

    return make
