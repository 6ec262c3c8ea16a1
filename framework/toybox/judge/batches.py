"""What a judge learns from: proper scenes of every name, held out or not, and spoiled ones that it is to reject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.toybox.batches import CaptionDistribution, Uniform, random_spec
from framework.toybox.judge import spoiling
from framework.toybox.judge.network import SIZE
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import Scene, SceneSpec, build
from framework.toybox.views import ViewDistribution

VIEWS = ViewDistribution(
    elevation_range_deg=(-20.0, 50.0),
    fov_y_range_deg=(35.0, 50.0),
    framing_range=(0.95, 1.2),
    light_spread=1.0,
    ambient_range=(0.2, 0.9),
    neutral_background_levels=(1.0, 0.5),
    neutral_background_share=0.3,
)
"""Other views, lights and backgrounds than the prior's."""
CONTENTS = CaptionDistribution(toy_share=0.35, shape_share=0.2)
"""More relations than the prior sees: which shape has which colour is the hardest question."""
SPOILED_SHARE = 0.3
SCENE_FAULTS = ("floaters", "melted", "merged", "two-faced", "blob")
IMAGE_FAULTS = ("bent", "noise", "empty")


@dataclass(frozen=True)
class JudgedBatch:
    """B images.

    Attributes:
        images: In [0, 1], sRGB.
        specs: What each shows; None for what is to be rejected.
        faults: What is wrong with each; empty where nothing is.
    """

    images: Float[Tensor, "B H W 3"]
    specs: list[SceneSpec | None]
    faults: list[str]


def judged_batch(
    generator: torch.Generator,
    batch_size: int,
    *,
    spoiled_share: float = SPOILED_SHARE,
    contents: CaptionDistribution = CONTENTS,
    views: ViewDistribution = VIEWS,
) -> JudgedBatch:
    """Images to learn from, on the CPU.

    Args:
        generator: The source of all draws, on the CPU.
        batch_size: Number of images.
        spoiled_share: Share of images to reject.
        contents: What scenes show.
        views: From where and in which light.
    """
    source = Uniform(generator)
    sampled = views.sample(batch_size, size=SIZE, generator=generator)
    faults = [_fault(source, spoiled_share) for _ in range(batch_size)]
    scenes = [_scene(source, contents) for _ in range(batch_size)]
    faults = ["melted" if f == "two-faced" and not s.spec.has_front else f for f, s in zip(faults, scenes, strict=True)]
    azimuths = torch.rad2deg(sampled.azimuth).tolist()
    shown = [_spoiled(*each, source, contents) for each in zip(scenes, faults, azimuths, strict=True)]
    images = render(
        ScenePack.from_scenes(shown), cameras=sampled.cameras, lights=sampled.lights, background=sampled.background
    ).rgb
    images = _replaced(images, sampled.background, faults, generator)
    specs = [None if fault else scene.spec for scene, fault in zip(scenes, faults, strict=True)]
    return JudgedBatch(worn(images, generator), specs, faults)


def worn(images: Float[Tensor, "B H W 3"], generator: torch.Generator) -> Float[Tensor, "B H W 3"]:
    """Images as generated objects look at their best: blurred, noisy, and off in brightness, each a little."""
    count = len(images)
    blurred = F.interpolate(images.permute(0, 3, 1, 2), scale_factor=0.5, mode="area")
    blurred = F.interpolate(blurred, size=images.shape[1:3], mode="bilinear").permute(0, 2, 3, 1)
    softness = torch.rand(count, 1, 1, 1, generator=generator)
    gain = 1.0 + 0.2 * (torch.rand(count, 1, 1, 1, generator=generator) - 0.5)
    noise = 0.06 * torch.rand(count, 1, 1, 1, generator=generator) ** 2
    worn_images = gain * torch.lerp(images, blurred, softness) + noise * torch.randn(images.shape, generator=generator)
    return worn_images.clamp(0.0, 1.0)


def _fault(source: Uniform, share: float) -> str:
    return source.choice((*SCENE_FAULTS, *IMAGE_FAULTS)) if source.chance(share) else ""


def _scene(source: Uniform, contents: CaptionDistribution) -> Scene:
    spec: SceneSpec = random_spec(source, contents, source.uniform(), 0.0)
    return build(spec, source.vector(spec.num_nuisances))


def _spoiled(scene: Scene, fault: str, azimuth_deg: float, source: Uniform, contents: CaptionDistribution) -> Scene:
    """The scene with a fault, as a camera at this azimuth is to see it."""
    draw = source.between
    match fault:
        case "floaters":
            return spoiling.with_floaters(scene, draw)
        case "melted":
            return spoiling.melted(scene, draw)
        case "merged":
            return spoiling.merged(scene, _scene(source, contents))
        case "two-faced":
            side = draw(*spoiling.SIDE_DEG) * (1 if source.chance(0.5) else -1)
            return spoiling.turned(spoiling.two_faced(scene), azimuth_deg + side)
        case "blob":
            return Scene(scene.spec, tuple(spoiling.blob(draw)))
    return scene


def _replaced(
    images: Float[Tensor, "B H W 3"],
    background: Float[Tensor, "B 3"],
    faults: Sequence[str],
    generator: torch.Generator,
) -> Float[Tensor, "B H W 3"]:
    """The images, with those whose fault is one of images put in their place."""
    rows = {name: [row for row, fault in enumerate(faults) if fault == name] for name in IMAGE_FAULTS}
    bent, noise, empty = (rows[name] for name in IMAGE_FAULTS)
    replaced = images.clone()
    replaced[bent] = spoiling.bent(images[bent], generator)
    replaced[noise] = spoiling.as_noise((len(noise), *images.shape[1:]), generator)
    replaced[empty] = background[empty, None, None].expand_as(images[empty])
    return replaced
