"""Images drawn from a prior, to see what it knows (DDIM without noise, arXiv:2010.02502)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.prediction import Prediction, classifier_free, rows_read
from framework.diffusion.prior import Denoiser, Prior
from framework.structures.views import Views


@torch.no_grad()
def sample(
    prior: Prior,
    conditions: Conditions,
    *,
    guidance_scale: float = 1.0,
    num_steps: int = 50,
    generator: torch.Generator,
    clip: bool | None = None,
) -> Float[Tensor, "B C h w"]:
    """One sample for each of the B conditions in row 0, guided away from row 1 if the scale is not 1.

    Args:
        prior: What to sample from.
        conditions: Row 0 the wanted conditions, row 1 the unconditional ones.
        guidance_scale: s in uncond + s (cond - uncond).
        num_steps: Number of denoiser evaluations.
        generator: Source of the initial noise, on the prior's device.
        clip: Keep the predicted clean sample in [-1, 1] on the way; by default for pixels only.
    """
    batch_size = conditions.weights.shape[1]
    x_t = torch.randn(batch_size, *prior.sample_shape, generator=generator, device=prior.device)
    timesteps = sampling_timesteps(len(prior.schedule), num_steps).to(prior.device)
    clean = x_t
    for index, time in enumerate(timesteps):
        guided = guided_prediction(prior, x_t, time.expand(batch_size), conditions, guidance_scale)
        clean = guided.sample.clamp(-1.0, 1.0) if _clips(clip, prior) else guided.sample
        if index + 1 < len(timesteps):
            x_t = _step(prior, guided, clean, timesteps[index + 1].expand(batch_size))
    return clean


def guided_prediction(
    prior: Denoiser,
    noisy: Float[Tensor, "B C H W"],
    timestep: Int[Tensor, "B"],
    conditions: Conditions,
    guidance_scale: float,
) -> Prediction:
    """uncond + s (cond - uncond) of rows 0 and 1; a scale of 0 or 1 evaluates one row only."""
    prediction = prior.predict(noisy, timestep, conditions.rows(rows_read(guidance_scale)))
    if len(prediction.raw) == 1:
        return prediction.with_raw(prediction.raw[0])
    return prediction.with_raw(classifier_free(prediction.raw[0], prediction.raw[1], guidance_scale))


def prompt_conditions(prior: Prior, prompts: Sequence[str], views: Views | None = None) -> Conditions:
    """What `sample` takes: one row of prompts, and the empty prompt under each; both rows are told the views, if any.

    Args:
        views: One for each prompt; its camera is told.
    """
    text, count = prior.encode_text([*prompts, ""]), len(prompts)
    index = torch.stack([torch.arange(count), torch.full((count,), count)]).to(prior.device)
    ones = torch.ones(2, count, device=prior.device)
    if views is None:
        return Conditions(text[index], ones)
    return Conditions(text[index], ones, views.to(prior.device), ones.bool())


def sampling_timesteps(num_timesteps: int, num_steps: int) -> Int[Tensor, "S"]:
    """`num_steps` timesteps from the last one down, evenly spaced; one more such step would lead to the clean sample."""
    return (num_timesteps - torch.arange(num_steps) * (num_timesteps / num_steps)).round().long() - 1


def _clips(clip: bool | None, prior: Prior) -> bool:
    return prior.space == "pixel" if clip is None else clip


def _step(prior: Prior, prediction: Prediction, clean: Tensor, timestep: Int[Tensor, "B"]) -> Tensor:
    """x at the next, lower timestep; the noise is recomputed so that it fits a clipped clean sample."""
    epsilon = (prediction.noisy - prediction.alpha * clean) / prediction.sigma
    alpha, sigma = prior.schedule.at(timestep)
    return alpha * clean + sigma * epsilon
