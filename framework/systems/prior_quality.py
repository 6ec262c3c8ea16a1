"""How often a text-to-image prior of the toybox draws the right object."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from framework.diffusion.prior import Prior
from framework.diffusion.sampling import prompt_conditions, sample
from framework.structures.views import Lights, Views
from framework.toybox.captions import caption, parse_scene, view_words
from framework.toybox.evaluation.identity import is_same_shape
from framework.toybox.evaluation.recognition import nearest_scene
from framework.toybox.families import FAMILIES
from framework.toybox.scenes import SceneSpec
from framework.toybox.splits import prompt_lists
from framework.toybox.views import ViewDistribution

BATCH_SIZE = 50


def right_objects(
    prior: Prior, *, count: int, generator: torch.Generator, guidance_scale: float, num_steps: int = 30
) -> dict[str, Any]:
    """Sample trained prompts, each from a camera that the prior is told, and count the right objects.

    Args:
        prior: A pixel-space prior of toybox images that takes cameras.
        count: Number of prompts.
        generator: On the CPU; the source of all draws.
        guidance_scale, num_steps: Of the sampling (see `sampling.sample`).

    Returns:
        The shares of samples whose nearest true render is of the named scene (see `recognition.nearest_scene`), for all
        prompts and for single objects and relations apart (None if there are none), and how this was measured.
    """
    started = time.perf_counter()
    specs = judged_prompts(count)
    views = random_views(len(specs), prior.sample_shape[-1], generator)
    is_right = []
    for start in track(range(0, count, BATCH_SIZE), description="Drawing and judging samples", transient=True):
        rows = slice(start, start + BATCH_SIZE)
        images = samples_of(
            prior,
            specs[rows],
            views[rows],
            guidance_scale=guidance_scale,
            num_steps=num_steps,
            generator=generator,
        ).cpu()
        for image, index in zip(images, range(count)[rows], strict=True):
            nearest = nearest_scene(image, views[[index]], specs[index], generator=generator)
            is_right.append(is_same_shape(nearest, specs[index]))
    is_single = [spec.relation is None for spec in specs]
    return {
        "right": _share(is_right),
        "right_single": _share([right for right, single in zip(is_right, is_single, strict=True) if single]),
        "right_relation": _share([right for right, single in zip(is_right, is_single, strict=True) if not single]),
        "prompts": count,
        "guidance_scale": guidance_scale,
        "num_steps": num_steps,
        "seconds": round(time.perf_counter() - started, 1),
    }


def judged_prompts(count: int) -> list[SceneSpec]:
    """Trained prompts at even distances, of those that leave no colour open."""
    parsed = (parse_scene(prompt) for prompt in prompt_lists()["train"])
    closed = [
        spec for spec in parsed if all(item.color or not FAMILIES[item.family].is_colored for item in spec.objects)
    ]
    return [closed[index * len(closed) // count] for index in range(count)]


def random_views(count: int, size: int, generator: torch.Generator) -> Views:
    """Views as the prior was trained on."""
    drawn = ViewDistribution().sample(count, size=size, generator=generator)
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
    """Images of scenes, each from its view, which the prior is told by camera and in words; in [0, 1].

    Args:
        generator: On the CPU.
    """
    angles = zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)
    words = [view_words(*pair) for pair in angles]
    prompts = [caption(dataclasses.replace(spec, view=view)) for spec, view in zip(specs, words, strict=True)]
    conditions = prompt_conditions(prior, prompts, views)
    noise = torch.Generator(prior.device).manual_seed(int(torch.randint(2**31, (), generator=generator)))
    drawn = sample(prior, conditions, guidance_scale=guidance_scale, num_steps=num_steps, generator=noise)
    return prior.decode(drawn).clamp(0.0, 1.0)


def _share(flags: list[bool]) -> float | None:
    return round(sum(flags) / len(flags), 4) if flags else None
