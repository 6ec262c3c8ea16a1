"""Images that a text-to-image prior of the toybox draws of named scenes, each from a camera that it is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from framework.diffusion.prior import Prior
from framework.diffusion.sampling import prompt_conditions, sample
from framework.structures.views import Lights, Views
from framework.toybox.captions import caption, parse_scene, view_words
from framework.toybox.families import FAMILIES
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import SceneSpec, build
from framework.toybox.splits import prompt_lists
from framework.toybox.tracing import ToyImages
from framework.toybox.views import ToyViews, ViewDistribution

BATCH_SIZE = 50
"""Samples that are drawn at once."""
FEW_STEPS = 12
"""Denoiser evaluations of most samples; the judge finds as many right with 10 as with 30."""


def random_views(count: int, size: int, generator: torch.Generator) -> Views:
    """Views as the prior was trained on."""
    return untold_light(ViewDistribution().sample(count, size=size, generator=generator))


def untold_light(drawn: ToyViews) -> Views:
    """The views as a prior is told them, which leaves out light and background."""
    lights = Lights.ambient_only(drawn.cameras.positions)
    return Views(drawn.cameras, drawn.azimuth, drawn.elevation, drawn.distance, lights)


def samples_of(
    prior: Prior,
    specs: Sequence[SceneSpec],
    views: Views,
    *,
    guidance_scale: float,
    num_steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "B H W 3"]:
    """Images of scenes, each from its view, which the prior is told by camera and in words; in [0, 1], on the CPU.

    Args:
        generator: On the CPU.
    """
    angles = zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)
    words = [view_words(*pair) for pair in angles]
    prompts = [caption(dataclasses.replace(spec, view=view)) for spec, view in zip(specs, words, strict=True)]
    noise = torch.Generator(prior.device).manual_seed(int(torch.randint(2**31, (), generator=generator)))
    images = []
    for start in track(range(0, len(prompts), BATCH_SIZE), description="Drawing samples", transient=True):
        rows = slice(start, start + BATCH_SIZE)
        conditions = prompt_conditions(prior, prompts[rows], views[rows])
        drawn = sample(prior, conditions, guidance_scale=guidance_scale, num_steps=num_steps, generator=noise)
        images.append(prior.decode(drawn).clamp(0.0, 1.0).cpu())
    return torch.cat(images)


def true_renders(specs: Sequence[SceneSpec], views: ToyViews, generator: torch.Generator) -> ToyImages:
    """What a perfect prior might draw of scenes: a render of each, with all that its caption leaves open at random."""
    scenes = [build(spec, torch.rand(spec.num_nuisances, generator=generator).tolist()) for spec in specs]
    pack = ScenePack.from_scenes(scenes)
    return render(pack, cameras=views.cameras, lights=views.lights, background=views.background)


def trained_specs(count: int) -> list[SceneSpec]:
    """Scenes of the prompt list `train` at even distances, of those that leave no colour open."""
    parsed = (parse_scene(prompt) for prompt in prompt_lists()["train"])
    closed = [
        spec for spec in parsed if all(item.color or not FAMILIES[item.family].is_colored for item in spec.objects)
    ]
    return [closed[index * len(closed) // count] for index in range(count)]
