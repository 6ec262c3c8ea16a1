"""A part of the image as it is, amid the rest at a lower resolution: a large image at the price of a small one."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from framework.core.registries import RENDERERS
from framework.core.step import StepInfo
from framework.renderers.base import Scene
from framework.renderers.wrapping import IMAGES, WrappingRenderer, merged, pasted, with_cameras
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views


@RENDERERS.register("patch")
class Patch(WrappingRenderer):
    """In training, a random patch at full resolution amid a coarse whole; in evaluation, the whole as it is."""

    @dataclass(kw_only=True, frozen=True)
    class Config(WrappingRenderer.Config):
        patch_size: int = 128
        """Height and width of the patch, pixels; an image that is no larger is drawn as it is."""
        downscale: int = 4
        """How many times smaller the rest is drawn before it is enlarged."""
        detach_rest: bool = False
        """Whether only the patch has gradients."""

        def __post_init__(self) -> None:
            if self.patch_size < 1 or self.downscale < 1:
                raise ValueError(
                    f"patch_size and downscale must be positive, got {self.patch_size} and {self.downscale}."
                )

    config: Config

    def render(self, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo) -> RenderOutput:
        """Images of `views`; one patch for all of them.

        Raises:
            ValueError: If height or width is no multiple of `downscale`.
        """
        size, cameras = self.config.patch_size, views.cameras
        if not step.is_training or max(cameras.height, cameras.width) <= size:
            drawn = self.base.render(views, scene, needs, step)
            return replace(drawn, renderer=RENDERERS.name_of(self.config))
        height, width = min(size, cameras.height), min(size, cameras.width)
        top, left = self._corner(cameras.height - height, cameras.width - width, step)
        rest = self._rest(views, scene, needs, step)
        patch = self.base.render(with_cameras(views, cameras.crop(top, left, height, width)), scene, needs, step)
        rows, columns = slice(top, top + height), slice(left, left + width)
        return merged(rest, patch, self, lambda whole, part: pasted(whole, part, rows, columns))

    def _rest(self, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo) -> RenderOutput:
        """The whole, drawn small and enlarged."""
        height, width, factor = views.cameras.height, views.cameras.width, self.config.downscale
        if height % factor or width % factor:
            raise ValueError(f"renderer 'patch': {height} x {width} pixels are no multiple of downscale {factor}.")
        shift = None if views.cameras.shift is None else views.cameras.shift / factor
        small = replace(views.cameras, height=height // factor, width=width // factor, shift=shift)
        with torch.no_grad() if self.config.detach_rest else nullcontext():
            drawn = self.base.render(with_cameras(views, small), scene, needs, step)
            names = [name for name in IMAGES if getattr(drawn, name) is not None]
            large: dict[str, Any] = {name: _resized(getattr(drawn, name), height, width) for name in names}
        return replace(drawn, **large)

    @staticmethod
    def _corner(rows: int, columns: int, step: StepInfo) -> tuple[int, int]:
        """Row and column of the patch's upper left corner, at most `rows` and `columns`."""
        generator = step.batch_generator("patch")
        top, left = (int(torch.randint(0, most + 1, (), generator=generator)) for most in (rows, columns))
        return top, left


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    enlarged = F.interpolate(image.movedim(-1, 1), (height, width), mode="bilinear", align_corners=False)
    return enlarged.movedim(1, -1)
