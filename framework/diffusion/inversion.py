"""From a clean sample to the noise that a prior would make it of: DDIM run backwards (arXiv:2010.02502)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.diffusion.prior import Prior
from framework.diffusion.sampling import guided_prediction


@torch.no_grad()
def ddim_inversion(
    prior: Prior,
    clean: Float[Tensor, "B C H W"],
    timesteps: Int[Tensor, "S B"],
    conditions: Conditions,
    *,
    guidance_scale: float = 0.0,
    start: NoisySample | None = None,
    fresh_noise: Float[Tensor, "S B C H W"] | None = None,
    noise_share: float = 0.0,
) -> list[NoisySample]:
    """Samples at rising noise levels on the path that the prior takes from noise to the clean sample.

    Without a `start` the clean sample stands for the one at timestep 0. Each step trusts the prediction at the level it
    leaves, so many small steps follow the path better than a few large ones.

    Args:
        prior: What predicts.
        clean: Where the path begins.
        timesteps: Levels to visit after the start, not falling; each sample has its own.
        conditions: Row 0 the prompt, row 1 the unconditional one.
        guidance_scale: s in uncond + s (cond - uncond); 0 evaluates no prompt, negative values move away from it.
        start: Where the path begins instead, the clean sample with some noise.
        fresh_noise: Unit noise for each step, mixed into the predicted one.
        noise_share: Share eta of the fresh noise: sqrt(1 - eta^2) predicted + eta fresh.

    Returns:
        One sample for each of the S levels. All but the last carry `unconditional_epsilon` if the scale is 0.
    """
    visited: list[NoisySample] = []
    noisy = clean if start is None else start.noisy
    level = torch.zeros_like(timesteps[0]) if start is None else start.timestep
    for index, following in enumerate(timesteps):
        prediction = guided_prediction(prior, noisy, level, conditions, guidance_scale)
        epsilon = prediction.epsilon
        if visited and guidance_scale == 0.0:
            visited[-1] = _with_unconditional(visited[-1], epsilon)
        if fresh_noise is not None and noise_share > 0.0:
            epsilon = (1.0 - noise_share**2) ** 0.5 * epsilon + noise_share * fresh_noise[index]
        alpha, sigma = prior.schedule.at(following)
        noisy, level = alpha * prediction.sample + sigma * epsilon, following
        visited.append(prior.schedule.explain(clean, noisy, following))
    return visited


def even_timesteps(first: Int[Tensor, "B"], last: Int[Tensor, "B"], num_steps: int) -> Int[Tensor, "S B"]:
    """`num_steps` timesteps from above `first` to `last`, evenly spaced; the path of an inversion."""
    shares = torch.arange(1, num_steps + 1, device=last.device) / num_steps
    return (first + shares[:, None] * (last - first)).round().long()


def _with_unconditional(sample: NoisySample, epsilon: Float[Tensor, "B C H W"]) -> NoisySample:
    return NoisySample(sample.clean, sample.noise, sample.noisy, sample.timestep, None, epsilon)
