"""What renderers share that draw with another renderer: they provide its images and draw what it draws."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from framework.core.component import slot
from framework.core.registries import RENDERERS
from framework.geometry.base import Geometry
from framework.renderers.base import Renderer
from framework.structures.cameras import Cameras
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

IMAGES = ("rgb", "opacity", "depth", "normal", "latent")
"""Fields of a render that are images of its size."""


class WrappingRenderer(Renderer, ABC):
    """Draws views with the renderer `base`, in another way in training."""

    provides = frozenset(Buffer) - {Buffer.SAMPLES}
    """As far as `base` provides it; samples belong to rays of which there are others than pixels."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Renderer.Config):
        base: Any = slot(RENDERERS, default="volume")
        """What draws."""

    config: Config

    def __init__(self, config: Config, *, backends: dict[str, str]) -> None:
        super().__init__(config, backends=backends)
        self.base: Renderer = RENDERERS.build(config.base, backends=backends)
        self.provides = self.provides_of(config)

    @classmethod
    def provides_of(cls, config: Any) -> frozenset[Buffer]:
        """Images and mesh, as far as the base provides them."""
        return cls.provides & _base_class(config).provides_of(config.base)

    @classmethod
    def can_draw(cls, config: Any, geometry: type[Geometry]) -> bool:
        """Whether the base can."""
        return _base_class(config).can_draw(config.base, geometry)

    @classmethod
    def proposals(
        cls, config: Any, *, radius: float, generator: torch.Generator, backends: dict[str, str]
    ) -> Iterable[nn.Module]:
        """What the base learns."""
        return _base_class(config).proposals(config.base, radius=radius, generator=generator, backends=backends)


def with_cameras(views: Views, cameras: Cameras) -> Views:
    """The views through other cameras at the same places."""
    return dataclasses.replace(views, cameras=cameras)


def merged(
    first: RenderOutput, second: RenderOutput, renderer: Renderer, merge: Callable[[Tensor, Tensor], Tensor]
) -> RenderOutput:
    """One render by `renderer` from each pair of images of two; what else the second holds stays."""
    names = [name for name in IMAGES if getattr(first, name) is not None]
    images: dict[str, Any] = {name: merge(getattr(first, name), getattr(second, name)) for name in names}
    return dataclasses.replace(second, **images, renderer=RENDERERS.name_of(renderer.config))


def pasted(image: Tensor, part: Tensor, rows: slice, columns: slice) -> Tensor:
    """The image with these rows and columns replaced."""
    image = image.clone()
    image[:, rows, columns] = part
    return image


def _base_class(config: Any) -> Any:
    return RENDERERS.find(RENDERERS.name_of(config.base))
