"""The rules of score distillation as pure functions, which a plain loop can call.

A residual r takes the place of a gradient at a clean sample x_0: what the prior would like to have changed, before
weighting. `surrogate_loss` hands it to automatic differentiation.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.diffusion.prediction import Prediction
from framework.diffusion.prior import Prior
from framework.guidance.combination import Combination


def combined_prediction(
    prior: Prior,
    noisy: Float[Tensor, "B C H W"],
    timestep: Int[Tensor, "B"],
    conditions: Conditions,
    combination: Combination,
    guidance_scale: float,
) -> Prediction:
    """The guided prediction; only conditions that the combination reads are evaluated."""
    needed = combination.select(conditions, guidance_scale)
    prediction = prior.predict(noisy, timestep, needed)
    return prediction.with_raw(combination.combine(prediction.raw, needed.weights, guidance_scale))


def score_distillation_residual(
    prior: Prior, sample: NoisySample, conditions: Conditions, combination: Combination, guidance_scale: float
) -> Float[Tensor, "B C H W"]:
    """eps_hat - eps: predicted minus added noise (SDS, arXiv:2209.14988; equally SJC, arXiv:2212.00774)."""
    prediction = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    return prediction.epsilon - sample.noise


def surrogate_loss(clean: Float[Tensor, "B C H W"], residual: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """A scalar whose gradient with respect to `clean` is residual / (B C H W).

    Its value is meaningless, it can rise while the result gets better: watch the metric `gradient_norm` instead. The mean
    over all elements lets weights keep their meaning across batch sizes and resolutions.
    """
    return 0.5 * F.mse_loss(clean, (clean - residual).detach())
