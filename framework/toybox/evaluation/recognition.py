"""What an image from a known camera shows: the nearest, in pixels, among true renders of every scene of the vocabulary.

Every scene is rendered a few times from the image's own camera, in the colours that the caption names, over the colour
of the image's border. Nothing is trained, so this needs no judge; colours are given, so it judges the object alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.structures.views import Views
from framework.toybox.evaluation.identity import is_same_shape, vocabulary
from framework.toybox.families import FAMILIES
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import ObjectSpec, Scene, SceneSpec, build
from framework.toybox.tracing import Lights

SIZE = 32
"""Height and width at which images are compared, pixels."""
VARIANTS = 6
"""Renders of every scene, each with sizes and proportions of its own."""
AMBIENT = 0.65
"""Of the light, which comes from the camera."""


@torch.no_grad()
def nearest_scene(
    image: Float[Tensor, "H W 3"], view: Views, named: SceneSpec, *, generator: torch.Generator
) -> SceneSpec:
    """The scene, `named` or another of the vocabulary, with the render most like an image.

    Args:
        image: In [0, 1], sRGB.
        view: The one camera it was taken or drawn for; its light is not used.
        named: What it should show; all scenes get its colours.
        generator: On the CPU; draws sizes and proportions.
    """
    specs = candidates(named)
    scenes = [
        build(spec, torch.rand(spec.num_nuisances, generator=generator).tolist())
        for spec in specs
        for _ in range(VARIANTS)
    ]
    return specs[int(differences(image, view, scenes).argmin()) // VARIANTS]


@torch.no_grad()
def differences(image: Float[Tensor, "H W 3"], view: Views, scenes: Sequence[Scene]) -> Float[Tensor, "S"]:
    """Mean square differences of an image from renders of scenes, at `SIZE`.

    Args:
        image, view: As `nearest_scene` takes them.
    """
    small = reduced(image[None])
    camera = dataclasses.replace(view.cameras, height=SIZE, width=SIZE)[[0] * len(scenes)]
    lights = Lights(camera.positions.contiguous(), torch.full((len(scenes),), AMBIENT, device=image.device))
    background = border_color(small[0]).expand(len(scenes), 3).contiguous()
    pack = ScenePack.from_scenes(scenes).to(image.device)
    renders = render(pack, cameras=camera, lights=lights, background=background).rgb
    return (renders - small).square().mean(dim=(1, 2, 3))


def reduced(images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B h w 3"]:
    """Images at `SIZE`."""
    return F.interpolate(images.permute(0, 3, 1, 2), size=(SIZE, SIZE), mode="area").permute(0, 2, 3, 1)


def candidates(named: SceneSpec) -> list[SceneSpec]:
    """The scene itself, then all others of the vocabulary in its colours; single objects in each colour of a pair."""
    colors = [item.color for item in named.objects]
    others = [spec for spec in vocabulary() if not is_same_shape(spec, named)]
    colored = [_colored(spec, colors) for spec in others]
    if len(colors) > 1:
        colored += [_colored(spec, colors[1:]) for spec in others if spec.relation is None]
    return [dataclasses.replace(named, view=None), *colored]


def border_color(image: Float[Tensor, "H W 3"]) -> Float[Tensor, "3"]:
    """The median colour of the outermost pixels, which objects in view leave free."""
    return torch.cat([image[0], image[-1], image[:, 0], image[:, -1]]).median(dim=0).values


def _colored(spec: SceneSpec, colors: list[str | None]) -> SceneSpec:
    objects = [
        ObjectSpec(item.family, colors[min(index, len(colors) - 1)] if FAMILIES[item.family].is_colored else None)
        for index, item in enumerate(spec.objects)
    ]
    return dataclasses.replace(spec, objects=tuple(objects))
