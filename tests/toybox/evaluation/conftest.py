"""Solids whose right answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.toybox.captions import parse_prompt
from framework.toybox.evaluation.voxels import scene_cells
from framework.toybox.scenes import Scene, SceneSpec, build


def spec_of(prompt: str) -> SceneSpec:
    spec = parse_prompt(prompt)
    assert spec is not None, prompt
    return spec


@pytest.fixture
def spec() -> Callable[[str], SceneSpec]:
    """What a prompt names."""
    return spec_of


@pytest.fixture
def scene() -> Callable[[str], Scene]:
    """Some scene of a prompt, the same in every call, not turned."""

    def drawn(prompt: str) -> Scene:
        spec = spec_of(prompt)
        nuisance = torch.rand(spec.num_nuisances, generator=torch.Generator().manual_seed(3))
        nuisance[1] = 0.5
        return build(spec, nuisance.tolist())

    return drawn


@pytest.fixture
def cells(scene: Callable[[str], Scene]) -> Callable[[str], Bool[Tensor, "R R R"]]:
    """The cells of that scene."""
    return lambda prompt: scene_cells(scene(prompt))


@pytest.fixture
def ball() -> Callable[[float], Bool[Tensor, "R R R"]]:
    """The cells of a ball about the origin."""

    def filled(radius: float) -> Float[Tensor, "R R R"]:
        line = (torch.arange(64) + 0.5) / 32 - 1
        x, y, z = torch.meshgrid(line, line, line, indexing="ij")
        return x**2 + y**2 + z**2 <= radius**2

    return filled
