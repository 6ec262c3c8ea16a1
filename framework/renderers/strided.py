"""Gradients through a few pixels of a whole image: the memory and most of the time of a step go with them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from framework.core.registries import RENDERERS
from framework.core.step import StepInfo
from framework.renderers.base import Scene
from framework.renderers.wrapping import WrappingRenderer, merged, pasted, with_cameras
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views


@RENDERERS.register("strided")
class Strided(WrappingRenderer):
    """In training, gradients through one random pixel of each block alone, scaled to be right in the mean.

    The whole image is drawn without gradients, and the pixels at one random place of every stride x stride block once
    more with them. Each pixel is among them once in stride^2 steps, and its gradient counts stride^2 times.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(WrappingRenderer.Config):
        stride: int = 4
        """Height and width of a block, pixels."""

        def __post_init__(self) -> None:
            if self.stride < 1:
                raise ValueError(f"stride must be positive, got {self.stride}.")

    config: Config

    def render(self, views: Views, scene: Scene, needs: AbstractSet[Buffer], step: StepInfo) -> RenderOutput:
        """Images of `views`, as the base draws them.

        Raises:
            ValueError: If the image is smaller than a block.
        """
        stride, cameras = self.config.stride, views.cameras
        if not step.is_training or stride == 1:
            return replace(self.base.render(views, scene, needs, step), renderer=RENDERERS.name_of(self.config))
        if min(cameras.height, cameras.width) < stride:
            size = f"{cameras.height} x {cameras.width}"
            raise ValueError(f"renderer 'strided': an image of {size} pixels is smaller than stride {stride}.")
        generator = step.batch_generator("strided")
        row, column = (int(torch.randint(0, stride, (), generator=generator)) for _ in range(2))
        with torch.no_grad():
            whole = self.base.render(views, scene, needs, step)
        few = self.base.render(with_cameras(views, cameras.every(stride, row=row, column=column)), scene, needs, step)
        rows, columns = slice(row, None, stride), slice(column, None, stride)
        return merged(whole, few, self, lambda image, part: pasted(image, _amplified(part, stride**2), rows, columns))


def _amplified(values: Tensor, factor: int) -> Tensor:
    """The same values with `factor` times their gradient."""
    return values.detach() + factor * (values - values.detach())
