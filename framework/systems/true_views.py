"""Reconstruction instead of distillation: how good a field can become that is shown what it is to look like.

This is no way to make objects, but the reference for one: the same field under the same cameras, lights and backgrounds,
with the right image in the place of a prior's opinion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import LOSSES
from framework.losses.base import Loss
from framework.renderers.base import Scene
from framework.structures.losses import Frame, TermOutput
from framework.structures.render_output import Buffer
from framework.toybox.captions import parse_scene
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import build
from framework.toybox.tracing import Lights

_MIDDLE = 0.5
"""Of the range of everything that a prompt leaves open, as the oracle prior takes it."""


@LOSSES.register("true-views")
class TrueViews(Loss):
    """Mean square error of the render from the toybox's own of what the prompt names: reconstruction, for reference."""

    needs = frozenset({Buffer.RGB})

    @dataclass(kw_only=True, frozen=True)
    class Config(Loss.Config):
        pass

    def __init__(self, config: Config, *, prompt: str = "") -> None:
        super().__init__(config, prompt=prompt)
        try:
            spec = parse_scene(prompt)
        except ValueError as error:
            raise UserError(f"loss 'true-views': {error} It takes prompts such as 'a red car'.") from error
        self._pack = ScenePack.from_scenes([build(spec, [_MIDDLE] * spec.num_nuisances)])

    def __call__(self, frame: Frame) -> TermOutput:
        """One loss."""
        rgb = frame.render.require(Buffer.RGB, "loss 'true-views'")
        return TermOutput(losses={"true-views": F.mse_loss(rgb, self.target(frame))})

    @torch.no_grad()
    def target(self, frame: Frame) -> Float[Tensor, "B H W 3"]:
        """What the render should be: in [0, 1], sRGB, over the background of the render.

        The light's diffuse share is taken as 1 - ambient.
        """
        assert isinstance(frame.scene, Scene)
        cameras, lights = frame.views.cameras, frame.views.lights
        count = len(cameras)
        pack = _without_texture(self._pack.to(cameras.device)[[0] * count], lights.is_textureless)
        toy_lights = Lights(lights.positions.contiguous(), lights.ambient)
        black = torch.zeros(count, 3, device=cameras.device)
        images = render(pack, cameras=cameras, lights=toy_lights, background=black)
        directions = cameras.rays().directions.view(count, -1, 3)
        # A random colour is drawn anew for each step, and in one step is always the same.
        background = frame.scene.background.color(directions, frame.step).view(images.rgb.shape)
        return images.rgb + (1.0 - images.opacity) * background


def _without_texture(pack: ScenePack, is_textureless: Bool[Tensor, "S"]) -> ScenePack:
    """The scenes, white where they show no texture."""
    return replace(pack, albedo=torch.where(is_textureless[:, None, None], 1.0, pack.albedo))
