"""What an edit begins with: the images before it, as they look in each view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.component import Component
from framework.core.errors import UserError
from framework.core.registries import SOURCES
from framework.structures.views import Views
from framework.toybox.captions import parse_scene
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import build
from framework.toybox.tracing import Lights

_MIDDLE = 0.5
"""Of the range of everything that a prompt leaves open, as the oracle prior takes it."""


class Source(Component, ABC):
    """Images that stay as they are while an edit of them is optimised.

    Attributes:
        prompt: What they show, in words; '' where nobody said.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    prompt: str

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def images(self, views: Views) -> Float[Tensor, "B H W 3"]:
        """One for each view, in [0, 1], sRGB, on the device of the views and without gradients."""


@SOURCES.register("image-file")
class ImageFile(Source):
    """A picture from a file, the same for every view."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Source.Config):
        path: str
        """The file; an alpha channel is ignored, and the picture takes the size and the shape that the prior works on."""
        prompt: str = ""
        """What it shows, in words, for rules that compare it under its own prompt; nothing by default."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.prompt = config.prompt
        self._image = _read(config.path)

    def images(self, views: Views) -> Float[Tensor, "B H W 3"]:
        """The picture once for each view."""
        return self._image.to(views.device).expand(len(views), -1, -1, -1)


@SOURCES.register("toybox-scene")
class ToyboxScene(Source):
    """A scene of the toybox, seen from the camera of each view: an edit in 3D that needs no data."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Source.Config):
        prompt: str
        """What the scene shows, in words of the toybox, such as `a red cube`."""
        background: tuple[float, float, float] = (0.5, 0.5, 0.5)
        """The colour behind it, in [0, 1], sRGB."""

        def __post_init__(self) -> None:
            if not all(0.0 <= channel <= 1.0 for channel in self.background):
                raise ValueError(f"background: expected channels in [0, 1], got {list(self.background)}.")

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.prompt = config.prompt
        try:
            spec = parse_scene(config.prompt)
        except ValueError as error:
            raise UserError(f"source 'toybox-scene': {error} It takes prompts such as 'a red cube'.") from error
        self._pack = ScenePack.from_scenes([build(spec, [_MIDDLE] * spec.num_nuisances)])

    @torch.no_grad()
    def images(self, views: Views) -> Float[Tensor, "B H W 3"]:
        """Renders at the size of the views' cameras; the light's diffuse share is taken as 1 - ambient."""
        lights = Lights(views.lights.positions.contiguous(), views.lights.ambient)
        background = torch.tensor(self.config.background, device=views.device).expand(len(views), 3).contiguous()
        pack = self._pack.to(views.device)[[0] * len(views)]
        return render(pack, cameras=views.cameras, lights=lights, background=background).rgb


def _read(path: str) -> Float[Tensor, "1 H W 3"]:
    try:
        levels = imageio.imread(Path(path).expanduser(), plugin="pillow", mode="RGB")
    except FileNotFoundError as error:
        raise UserError(f"source 'image-file': there is no file at '{path}'.") from error
    except (OSError, SyntaxError) as error:  # Pillow reports broken chunks of a PNG as SyntaxError
        raise UserError(f"source 'image-file': '{path}' cannot be read as an image ({error}).") from error
    return torch.tensor(levels).float()[None] / 255.0
