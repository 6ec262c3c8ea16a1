"""What a text-to-image prior of the toybox makes of the camera that it is told."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.data.orbit_views import OrbitViews
from framework.diffusion.prior import Prior
from framework.diffusion.sampling import guided_prediction, prompt_conditions, sample
from framework.structures.views import Views
from framework.systems.image_error import background_weighted
from framework.systems.prior_samples import BATCH_SIZE, FEW_STEPS, trained_specs, true_renders, untold_light
from framework.toybox.captions import caption
from framework.toybox.families import FAMILIES
from framework.toybox.scenes import SceneSpec
from framework.toybox.views import ViewDistribution

TURNS_DEG = (0, 90, 180)
SIDES_PROMPTS = ("a red car", "a yellow duck", "a blue robot", "a brown chair")
"""Objects whose sides differ; no word says which is shown."""
_SIDES = 4
_POOL = 400
"""Trained prompts among which those with a front are looked for."""
_NOISE = 0.95
"""Fraction of the timesteps at which an image hardly shows its side any more."""


@torch.no_grad()
def turned_camera_errors(prior: Prior, *, count: int, generator: torch.Generator) -> dict[str, Any]:
    """How wrong the prior is about what stands behind much noise, told the camera, and told a camera turned about +z.

    A prior that does not know what the azimuth means is equally wrong in both cases.

    Args:
        prior: A pixel-space prior of toybox images that takes cameras.
        count: Images, each of an object with a front.
        generator: On the CPU; the source of all draws.

    Returns:
        Mean squared errors of images in [-1, 1], but for the background's colour, by how far the camera was turned.
    """
    started = time.perf_counter()
    fronted = [spec for spec in trained_specs(_POOL) if _has_front(spec)]
    specs = [fronted[index * len(fronted) // count % len(fronted)] for index in range(count)]
    drawn = ViewDistribution(high_elevation_share=0.0).sample(count, size=prior.sample_shape[-1], generator=generator)
    images = true_renders(specs, drawn, generator)
    noise = torch.randn(count, *prior.sample_shape, generator=generator)
    views, prompts = untold_light(drawn), [caption(spec) for spec in specs]
    errors: dict[int, list[Tensor]] = {turn: [] for turn in TURNS_DEG}
    for start in range(0, count, BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        clean = prior.encode(images.rgb[rows].to(prior.device))
        timestep = torch.full((len(clean),), round(_NOISE * (len(prior.schedule) - 1)), device=prior.device)
        noisy = prior.schedule.add_noise(clean, noise[rows].to(prior.device), timestep).noisy
        opacity = images.opacity[rows].permute(0, 3, 1, 2).to(prior.device)
        for turn, found in errors.items():
            conditions = prompt_conditions(prior, prompts[rows], _turned(views[rows], turn).to(prior.device))
            predicted = guided_prediction(prior, noisy, timestep, conditions, 1.0).sample
            found.append(background_weighted(predicted - clean, opacity, 0.0).mean(dim=(1, 2, 3)))
    return {
        "images": count,
        "timestep_fraction": _NOISE,
        **{f"error_turned_{turn}": round(float(torch.cat(found).mean()), 5) for turn, found in errors.items()},
        "seconds": round(time.perf_counter() - started, 1),
    }


def samples_from_sides(prior: Prior, *, guidance_scale: float, generator: torch.Generator) -> Float[Tensor, "B H W 3"]:
    """Samples of `SIDES_PROMPTS` from the front, one side, the back and the other side, told by the camera alone.

    Args:
        generator: On the prior's device.
    """
    size = prior.sample_shape[-1]
    circle = OrbitViews.Config(height=size, width=size, elevation_deg=15.0, distance=2.7, fov_y_deg=45.0)
    sides = OrbitViews(circle, name="sides").views(_SIDES, prior.device)
    views = sides[list(range(_SIDES)) * len(SIDES_PROMPTS)]
    prompts = [prompt for prompt in SIDES_PROMPTS for _ in range(_SIDES)]
    conditions = prompt_conditions(prior, prompts, views)
    drawn = sample(prior, conditions, guidance_scale=guidance_scale, num_steps=FEW_STEPS, generator=generator)
    return prior.decode(drawn)


def _turned(views: Views, turn_deg: int) -> Views:
    cameras = views.cameras
    return Views.orbit(
        views.azimuth + math.radians(turn_deg),
        views.elevation,
        views.distance,
        cameras.fov_y,
        height=cameras.height,
        width=cameras.width,
    )


def _has_front(spec: SceneSpec) -> bool:
    return len(spec.objects) == 1 and FAMILIES[spec.objects[0].family].has_front
