"""How different two images look to a network that was trained to recognise things (LPIPS, arXiv:1801.03924).

The network is VGG-16 (arXiv:1409.1556); its weights are not part of this project. They are read from a safetensors file
with the names that torchvision and lpips give them: `features.{i}.weight` and `features.{i}.bias` of the 13 convolutions,
`lin{k}.model.1.weight` of the five linear layers. Their widths are those of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from framework.core.component import slot
from framework.core.errors import UserError
from framework.core.registries import LOSSES, SOURCES
from framework.losses.base import Loss
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer

BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Numbers of the convolutions of each block, as torchvision counts layers; the last of each is looked at."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SMALLEST_SIZE = 16


class PerceptualDistance:
    """LPIPS with VGG-16; frozen, and therefore no module, so that it is in no checkpoint.

    Args:
        weights: Tensors by the names above.

    Raises:
        ValueError: If one is missing.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        missing = [name for name in weight_names() if name not in weights]
        if missing:
            raise ValueError(f"{len(missing)} tensors are missing, '{missing[0]}' for instance.")
        self._weights = {name: weights[name].float() for name in weight_names()}

    @classmethod
    def load(cls, path: str) -> PerceptualDistance:
        """The distance with the weights at `path`.

        Raises:
            UserError: If there is no such file, or it does not hold them.
        """
        try:
            return cls(load_file(Path(path).expanduser()))
        except FileNotFoundError as error:
            raise UserError(f"loss 'perceptual': there is no file with VGG-16's weights at '{path}'.") from error
        except (ValueError, OSError, SafetensorError) as error:
            names = "`features.{i}.weight`, `features.{i}.bias` and `lin{k}.model.1.weight`"
            message = f"loss 'perceptual': '{path}' is no safetensors file of VGG-16 with {names}: {error}"
            raise UserError(message) from error

    def __call__(self, first: Float[Tensor, "B H W 3"], second: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B"]:
        """The distance of each pair of images in [0, 1], sRGB; differentiable in both.

        Raises:
            ValueError: If a side is shorter than 16 pixels, of which the last block would see nothing.
        """
        if min(first.shape[1:3]) < _SMALLEST_SIZE:
            raise ValueError(f"perceptual: needs images of at least 16 x 16 pixels, not {tuple(first.shape[1:3])}.")
        self._weights = {name: value.to(first.device) for name, value in self._weights.items()}
        total = first.new_zeros(len(first))
        for block, (a, b) in enumerate(zip(self._features(first), self._features(second), strict=True)):
            difference = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square()
            total = total + F.conv2d(difference, self._weights[f"lin{block}.model.1.weight"]).mean(dim=(1, 2, 3))
        return total

    def _features(self, image: Float[Tensor, "B H W 3"]) -> Iterator[Tensor]:
        """What the last convolution of each block sees, (B, C, h, w)."""
        x = ((image - image.new_tensor(_MEAN)) / image.new_tensor(_DEVIATION)).movedim(-1, 1)
        for block, layers in enumerate(BLOCKS):
            x = F.max_pool2d(x, 2) if block else x
            for layer in layers:
                weight, bias = (self._weights[f"features.{layer}.{part}"] for part in ("weight", "bias"))
                x = F.conv2d(x, weight, bias, padding=1).relu()
            yield x


def weight_names() -> list[str]:
    """Names of all tensors that the weights' file must hold."""
    layers = [f"features.{layer}.{part}" for block in BLOCKS for layer in block for part in ("weight", "bias")]
    return layers + [f"lin{block}.model.1.weight" for block in range(len(BLOCKS))]


@LOSSES.register("perceptual")
class Perceptual(Loss):
    """Perceptual distance of the render from reference images (LPIPS with VGG-16, arXiv:1801.03924)."""

    needs = frozenset({Buffer.RGB})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        weights: str
        """A safetensors file with the weights of VGG-16 and of the five linear layers of LPIPS."""
        source: Any = slot(SOURCES)
        """The reference images; they take the size of the render."""

    config: Config

    def __init__(self, config: Config, *, prompt: str = "") -> None:
        super().__init__(config, prompt=prompt)
        self._distance = PerceptualDistance.load(config.weights)
        self._source = SOURCES.build(config.source)

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss, a mean over views."""
        rgb = frame.render.require(Buffer.RGB, "loss 'perceptual'")
        target = self._source.images(frame.views).movedim(-1, 1)
        target = F.interpolate(target, rgb.shape[1:3], mode="bilinear", antialias=True).movedim(1, -1)
        return TermOutput(losses={"perceptual": self._distance(rgb, target).mean()})
