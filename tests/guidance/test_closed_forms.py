"""What rules do in the long run, against answers that are derived and not restated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gaussians import Gaussians
from torch import Tensor

from framework.core.registries import CONDITIONERS, GUIDANCES, PERTURBATIONS
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prediction import Prediction
from framework.diffusion.sampling import prompt_conditions
from framework.guidance.combination import ClassifierFree
from framework.guidance.rules import score_distillation_residual

TIMES = torch.arange(100, 900, 20)
PROMPT = "a red cube"


class Mixture(Gaussians):
    """Two thirds of the data at 0.5, one third at -0.7, each with a spread of 0.1; one number a sample."""

    CENTERS, SHARES, SPREAD = (-0.7, 0.5), (1 / 3, 2 / 3), 0.1

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions) -> Prediction:
        alpha, sigma = self.schedule.at(timestep)
        variance = alpha**2 * self.SPREAD**2 + sigma**2
        logits = [
            math.log(share) - 0.5 * (noisy - alpha * center) ** 2 / variance
            for center, share in zip(self.CENTERS, self.SHARES, strict=True)
        ]
        shares = torch.softmax(torch.stack(logits), dim=0)
        scores = torch.stack([sigma * (noisy - alpha * center) / variance for center in self.CENTERS])
        raw = (shares * scores).sum(dim=0, keepdim=True).expand(conditions.num_conditions, *noisy.shape)
        return Prediction(raw, noisy, alpha, sigma, "epsilon")


def expected_gradient(x: float) -> float:
    """Mean over time and noise of sigma^2 (eps_hat - eps) at x, by Gauss-Hermite quadrature in double precision."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    schedule = Mixture(Mixture.Config(size=1, channels=1)).schedule
    total = 0.0
    for time in TIMES.tolist():
        alpha, sigma = float(schedule.alphas[time]), float(schedule.sigmas[time])
        variance = alpha**2 * Mixture.SPREAD**2 + sigma**2
        noisy = alpha * x + sigma * nodes
        density = [
            share * np.exp(-0.5 * (noisy - alpha * center) ** 2 / variance)
            for center, share in zip(Mixture.CENTERS, Mixture.SHARES, strict=True)
        ]
        scores = [sigma * (noisy - alpha * center) / variance for center in Mixture.CENTERS]
        predicted = sum(d * s for d, s in zip(density, scores, strict=True)) / sum(density)
        total += sigma**2 * float((weights * (predicted - nodes)).sum())
    return total / len(TIMES)


@pytest.mark.parametrize("start", [-0.7, 0.0, 0.9])
def test_on_a_mixture_sds_ends_at_a_minimum_of_its_time_averaged_objective(start):
    """Which is no mode of the data: seen through noise the modes pull together."""
    minimum = start
    for _ in range(400):
        minimum -= 0.5 * expected_gradient(minimum)
    assert expected_gradient(minimum - 0.02) < 0.0 < expected_gradient(minimum + 0.02)

    prior, generator = Mixture(Mixture.Config(size=1, channels=1)), torch.Generator().manual_seed(0)
    conditions = prompt_conditions(prior, [PROMPT] * 256)
    combination, x, tail = ClassifierFree(ClassifierFree.Config()), torch.full((256, 1, 1, 1), start), []
    for step in range(400):
        time = TIMES[torch.randint(len(TIMES), (256,), generator=generator)]
        sample = prior.schedule.add_noise(x, torch.randn(x.shape, generator=generator), time)
        _, sigma = prior.schedule.at(time)
        x = x - 0.1 * sigma**2 * score_distillation_residual(prior, sample, conditions, combination, 1.0)
        tail += [x.mean().item()] if step >= 200 else []
    assert sum(tail) / len(tail) == pytest.approx(minimum, abs=0.03)


def residual_of(name: str, prior: Gaussians, frame, views, time: int, **options) -> tuple[Tensor, Tensor, Tensor]:
    """A rule's residual at one time, with the clean samples and the noise."""
    config = GUIDANCES.find(name).Config(prompts=CONDITIONERS.find("plain").Config(), preview_every=0, **options)
    guidance = GUIDANCES.build(config, name="main", prior=prior, prompt=PROMPT)
    image = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    whole = frame(image, views, StepInfo(3, 100))
    clean, conditions = prior.encode(image), guidance.conditioner(views, whole.step)
    timestep = torch.full((2,), time)
    sample = guidance.perturbation(clean, timestep, guidance.partner(timestep, whole.step), conditions, whole)
    return guidance.residual(sample, conditions, whole), clean, sample.noise


def constants(prior: Gaussians, time: int) -> tuple[float, float, float]:
    """alpha, sigma and the variance of noisy data."""
    alpha, sigma = float(prior.schedule.alphas[time]), float(prior.schedule.sigmas[time])
    return alpha, sigma, alpha**2 * prior.config.deviation**2 + sigma**2


def test_classifier_score_knows_neither_the_noise_nor_the_image(frame, views):
    """For Gaussians of one spread eps(y) - eps(0) = sigma alpha (mean_0 - mean_y) / variance: a constant push."""
    prior = Gaussians(Gaussians.Config())
    alpha, sigma, variance = constants(prior, 500)
    residual, _, _ = residual_of("classifier-score", prior, frame, views, 500)
    expected = sigma * alpha * (prior.mean("") - prior.mean(PROMPT)) / variance
    assert torch.allclose(residual, expected.expand_as(residual), atol=1e-4)


def test_noise_free_is_a_constant_push_too_where_there_is_much_noise(frame, views):
    prior = Gaussians(Gaussians.Config())
    alpha, sigma, variance = constants(prior, 500)
    residual, _, _ = residual_of("noise-free", prior, frame, views, 500, unwanted="bad", guidance_scale=Constant(4.0))
    push = (prior.mean("bad") - prior.mean("")) + 4.0 * (prior.mean("") - prior.mean(PROMPT))
    assert torch.allclose(residual, (sigma * alpha * push / variance).expand_as(residual), atol=1e-3)


def test_interval_score_without_a_prompt_vanishes_with_the_length_of_the_interval(frame, views):
    """Both ends lie on one trajectory of the same flow."""
    prior = Gaussians(Gaussians.Config())
    inversion = PERTURBATIONS.find("ddim-inversion").Config(num_steps=50)
    sizes = []
    for interval in (0.2, 0.1, 0.02):
        options = {"perturbation": inversion, "interval_fraction": Constant(interval), "guidance_scale": Constant(0.0)}
        residual, _, _ = residual_of("interval-score", prior, frame, views, 600, **options)
        sizes.append(residual.abs().max().item())
    assert sizes[0] > 1.5 * sizes[1] > 3.0 * sizes[2]
    assert sizes[2] < 0.1


def test_inversion_score_of_a_consistent_prior_points_from_the_image_to_the_mean_of_its_noisy_self(frame, views):
    """On the exact flow x_t = alpha mean + root(variance) (x - mean) / s, so that eps_hat - eps follows in closed form."""
    prior = Gaussians(Gaussians.Config())
    alpha, sigma, variance = constants(prior, 600)
    inversion = PERTURBATIONS.find("ddim-inversion").Config(num_steps=300)
    options = {"perturbation": inversion, "guidance_scale": Constant(0.0)}
    residual, clean, _ = residual_of("inversion-score", prior, frame, views, 600, **options)
    away = (clean - prior.mean("")) / prior.config.deviation  # in deviations
    noisy = alpha * prior.mean("") + variance**0.5 * away
    expected = sigma * away / variance**0.5 - (noisy - alpha * clean) / sigma
    assert torch.allclose(residual, expected, atol=0.02 * float(expected.abs().max()))
