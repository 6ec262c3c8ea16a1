"""The rules of score distillation as pure functions, which a plain loop can call.

A residual r takes the place of a gradient at a clean sample x_0: what the prior would like to have changed, before
weighting. `surrogate_loss` hands it to automatic differentiation. All rules are written in predicted noises, so that they
mean the same for a denoiser that predicts something else, but for the flow rules, which are written in directions.

Notation: eps(x_t; y) is the noise predicted under the prompt y, eps(x_t; 0) that under no prompt, eps_hat the combination
of both that `Combination` makes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoiseSchedule, NoisySample
from framework.diffusion.prediction import Prediction, classifier_free
from framework.diffusion.prior import Denoiser, Prior
from framework.diffusion.sampling import guided_prediction
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


def classifier_score_residual(
    prior: Prior, sample: NoisySample, conditions: Conditions, negative: Conditions | None, negative_weight: float
) -> Float[Tensor, "B C H W"]:
    """eps(y) - eps(0) + w (eps(0) - eps(negative)): the implicit classifier alone (CSD, arXiv:2310.19415).

    Args:
        negative: One row with the negative prompt; not evaluated where its weight is 0.
        negative_weight: w.
    """
    rows = conditions.rows([0, 1])
    if negative is None or negative_weight == 0.0:
        prompt, none = prior.predict(sample.noisy, sample.timestep, rows).epsilon
        return prompt - none
    prompt, none, unwanted = prior.predict(sample.noisy, sample.timestep, rows.joined(negative)).epsilon
    return prompt - none + negative_weight * (none - unwanted)


def noise_free_residual(
    prior: Prior,
    sample: NoisySample,
    conditions: Conditions,
    negative: Conditions,
    is_low: Bool[Tensor, "B"],
    guidance_scale: float,
) -> Float[Tensor, "B C H W"]:
    """delta + s (eps(y) - eps(0)): what is left of SDS without the noise that a prediction still holds
    (NFSD, arXiv:2310.17590).

    Args:
        negative: One row with a prompt of bad images.
        is_low: Samples of so little noise that delta is eps(0) itself; for the others it is eps(0) - eps(negative).
        guidance_scale: s.
    """
    rows = conditions.rows([0, 1])
    if bool(is_low.all()):
        prompt, none = prior.predict(sample.noisy, sample.timestep, rows).epsilon
        return classifier_free(prompt, none, guidance_scale)
    prompt, none, bad = prior.predict(sample.noisy, sample.timestep, rows.joined(negative)).epsilon
    guided = classifier_free(prompt, none, guidance_scale)  # holds the eps(0) of both deltas
    return torch.where(is_low[:, None, None, None], guided, guided - bad)


def interval_score_residual(
    prior: Prior, sample: NoisySample, conditions: Conditions, combination: Combination, guidance_scale: float
) -> Float[Tensor, "B C H W"]:
    """eps_hat(x_t) - eps(x_s; 0), with x_s the sample's partner at less noise (ISM, arXiv:2311.11284).

    Raises:
        ValueError: If the sample has no partner.
    """
    partner = require_partner(sample)
    prediction = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    earlier = partner.unconditional_epsilon
    if earlier is None:
        earlier = guided_prediction(prior, partner.noisy, partner.timestep, conditions, 0.0).epsilon
    return prediction.epsilon - earlier


def asynchronous_residual(
    prior: Prior, sample: NoisySample, conditions: Conditions, combination: Combination, guidance_scale: float
) -> Float[Tensor, "B C H W"]:
    """eps_hat(x_t) - eps(x_t'; y), with x_t' the sample's partner at more noise (ASD, arXiv:2407.02040).

    Raises:
        ValueError: If the sample has no partner.
    """
    partner = require_partner(sample)
    prediction = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    later = guided_prediction(prior, partner.noisy, partner.timestep, conditions, 1.0)
    return prediction.epsilon - later.epsilon


def variational_residual(
    prior: Prior,
    sample: NoisySample,
    conditions: Conditions,
    combination: Combination,
    guidance_scale: float,
    particles: Denoiser,
    particle_conditions: Conditions,
    particle_scale: float = 1.0,
) -> Float[Tensor, "B C H W"]:
    """eps_hat - eps_particles: the prior's score against that of the renders themselves (VSD, arXiv:2305.16213).

    Args:
        particles: A denoiser of the renders, with the noise levels of the prior.
        particle_conditions: Row 0 with the camera; row 1 without, read where the scale is not 1.
        particle_scale: lambda in eps(0) + lambda (eps(camera) - eps(0)); below 1 it spreads the views (ESD, 2401.00909).
    """
    prediction = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    present = guided_prediction(particles, sample.noisy, sample.timestep, particle_conditions, particle_scale)
    return prediction.epsilon - present.epsilon


def bridge_residual(
    prior: Prior, sample: NoisySample, conditions: Conditions, source: Conditions, guidance_scale: float
) -> Float[Tensor, "B C H W"]:
    """s (eps(y) - eps(source)): from images like the present ones to wanted ones (SDS-Bridge, arXiv:2406.09417).

    Args:
        source: One row with the prompt in words for the flaws that renders have while they are optimised.
        guidance_scale: s.
    """
    rows = conditions.rows([0]).joined(source)
    target, present = prior.predict(sample.noisy, sample.timestep, rows).epsilon
    difference = target - present
    return guidance_scale * difference


def flow_residual(
    prior: Prior, sample: NoisySample, conditions: Conditions, combination: Combination, guidance_scale: float
) -> Float[Tensor, "B C H W"]:
    """v_hat - (eps - x_0): predicted minus true direction from sample to noise (RFDS, arXiv:2406.03293)."""
    prediction = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    return prediction.flow - (sample.noise - sample.clean)


def revised_noise(
    prior: Prior, sample: NoisySample, conditions: Conditions, guidance_scale: float
) -> Float[Tensor, "B C H W"]:
    """eps + alpha (v_hat + x_0 - eps): noise from which the flow leads closer to the sample (RFDS-Rev, arXiv:2406.03293)."""
    alpha, _ = prior.schedule.at(sample.timestep)
    prediction = guided_prediction(prior, sample.noisy, sample.timestep, conditions, guidance_scale)
    return sample.noise + alpha * (prediction.flow + sample.clean - sample.noise)


def delta_denoising_residual(
    prior: Prior,
    sample: NoisySample,
    conditions: Conditions,
    source: NoisySample,
    source_conditions: Conditions,
    combination: Combination,
    guidance_scale: float,
) -> Float[Tensor, "B C H W"]:
    """eps_hat(x_t; y) - eps_hat(source_t; y_source): only what the edit asks for (DDS, arXiv:2304.07090).

    Args:
        source: What is edited, with the noise and the timesteps of `sample`.
        source_conditions: What it shows.
    """
    edited = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    before = combined_prediction(prior, source.noisy, source.timestep, source_conditions, combination, guidance_scale)
    return edited.epsilon - before.epsilon


def posterior_residual(
    prior: Prior,
    sample: NoisySample,
    conditions: Conditions,
    source: NoisySample,
    source_conditions: Conditions,
    combination: Combination,
    guidance_scale: float,
    stride: int,
) -> Float[Tensor, "B C H W"]:
    """z(x_0; y) - z(source; y_source), with z the noise that leads from x_t to x_s, s = t - stride (PDS, 2311.13831).

    z = (x_s - mu) / d with mu = g x_0_hat + h x_t and d the mean and deviation of the posterior of x_s. The noise of x_s and
    x_t is the same for both and cancels, so that the difference is

        ((alpha_s - h alpha_t) (x_0 - source) - g (x_0_hat - source_0_hat)) / d.

    As in the authors' implementation g, h and d take the variance that one timestep adds, whatever the stride. In terms of
    predicted noises it is psi (x_0 - source) + chi (eps_hat - eps_hat_source); psi > 0 for a stride of 2 or more, and 0
    for 1, where alpha_s = g + h alpha_t.

    Args:
        source: What is edited, with the noise and the timesteps of `sample`.
        source_conditions: What it shows.
        stride: Timesteps between the two levels; those of `sample` are not below it.
    """
    edited = combined_prediction(prior, sample.noisy, sample.timestep, conditions, combination, guidance_scale)
    before = combined_prediction(prior, source.noisy, source.timestep, source_conditions, combination, guidance_scale)
    of_clean, of_predicted = _posterior_factors(prior.schedule, sample.timestep, stride)
    return of_clean * (sample.clean - source.clean) - of_predicted * (edited.sample - before.sample)


def _posterior_factors(
    schedule: NoiseSchedule, timestep: Int[Tensor, "B"], stride: int
) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
    """(alpha_s - h alpha_t) / d and g / d, in double precision before they are rounded: beta is a small difference."""
    (alpha, sigma), (alpha_s, sigma_s), (alpha_1, sigma_1) = (
        (share.double() for share in schedule.at(timestep - steps)) for steps in (0, stride, 1)
    )
    kept = alpha / alpha_1  # sqrt(1 - beta) where alpha^2 + sigma^2 = 1
    beta = sigma**2 - (kept * sigma_1) ** 2
    deviation = beta.sqrt() * sigma_s / sigma
    of_predicted = alpha_s * beta / sigma**2 / deviation
    of_clean = (alpha_s - alpha * kept * sigma_s**2 / sigma**2) / deviation
    return of_clean.float(), of_predicted.float()


def require_partner(sample: NoisySample) -> NoisySample:
    """The sample's partner.

    Raises:
        ValueError: If it has none.
    """
    if sample.partner is None:
        raise ValueError("This rule compares two noise levels, but the sample came with one: give it a `partner`.")
    return sample.partner


def surrogate_loss(clean: Float[Tensor, "B C H W"], residual: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """A scalar whose gradient with respect to `clean` is residual / (B C H W).

    Its value is meaningless, it can rise while the result gets better: watch the metric `gradient_norm` instead. The mean
    over all elements lets weights keep their meaning across batch sizes and resolutions.
    """
    return 0.5 * F.mse_loss(clean, (clean - residual).detach())
