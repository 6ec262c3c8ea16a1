"""The contract of renderers, and the scene that they draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from framework.backgrounds.base import Background
from framework.core.component import Component
from framework.core.step import StepInfo
from framework.geometry.base import Geometry
from framework.materials.base import Material
from framework.renderers.occupancy import OccupancyGrid
from framework.structures.field import Attribute
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views


class Scene(nn.Module):
    """What is optimised: a shape, how it looks, what stands behind it, and where in its space there is anything.

    Of the latter it knows a grid, and networks where the renderer's sampler has some.
    """

    def __init__(
        self,
        *,
        geometry: Geometry,
        material: Material,
        background: Background,
        occupancy: OccupancyGrid,
        proposals: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.material = material
        self.background = background
        self.occupancy = occupancy
        self.proposals = nn.ModuleList(proposals)


class Renderer(Component, ABC):
    """Draws views of a scene; holds no state and no scene."""

    provides: frozenset[Buffer]
    draws: type[Any] = Geometry
    """What the geometry must be."""
    asks: frozenset[Attribute] = frozenset()
    """What the geometry must answer."""

    @classmethod
    def provides_of(cls, config: Any) -> frozenset[Buffer]:
        """What a renderer built from `config` will provide; known before anything is built."""
        return cls.provides

    @classmethod
    def can_draw(cls, config: Any, geometry: type[Geometry]) -> bool:
        """Whether a renderer built from `config` will draw geometries of this kind."""
        return issubclass(geometry, cls.draws) and cls.asks <= geometry.answers

    @classmethod
    def proposals(
        cls, config: Any, *, radius: float, generator: torch.Generator, backends: dict[str, str]
    ) -> Iterable[nn.Module]:
        """What a renderer built from `config` learns of a scene in the cube of half side `radius`; the scene keeps it."""
        return ()

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, backends: dict[str, str]) -> None:
        self.config = config
        self.backends = backends

    @abstractmethod
    def render(self, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo) -> RenderOutput:
        """Images of `views`; of the optional buffers only those in `needs` are computed.

        Args:
            views: Where from and under which light.
            scene: What is drawn.
            needs: Must be a subset of `provides`.
            step: When; training steps jitter their samples by `step.generator`.
        """
