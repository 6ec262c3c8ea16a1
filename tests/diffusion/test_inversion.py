"""Inversion against closed forms: the probability flow of a Gaussian is known."""

from __future__ import annotations

import pytest
import torch
from gaussians import Gaussians

from framework.diffusion.inversion import ddim_inversion, even_timesteps
from framework.diffusion.sampling import prompt_conditions

TIMESTEP = torch.tensor([400, 800])
ZERO = torch.zeros_like(TIMESTEP)
CLEAN = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def flow(prior: Gaussians, prompt: str) -> torch.Tensor:
    """Where the exact probability flow of N(mean, s^2) takes the clean samples."""
    alpha, sigma = prior.schedule.at(TIMESTEP)
    deviation = prior.config.deviation
    spread = (alpha**2 * deviation**2 + sigma**2).sqrt() / deviation
    return alpha * prior.mean(prompt) + spread * (CLEAN - prior.mean(prompt))


@pytest.mark.parametrize("parameterization", ["epsilon", "velocity", "sample", "flow"])
@pytest.mark.parametrize(("scale", "prompt"), [(0.0, ""), (1.0, "a red cube")])
def test_many_small_steps_follow_the_flow(parameterization, scale, prompt):
    prior = Gaussians(Gaussians.Config(parameterization=parameterization))
    conditions = prompt_conditions(prior, ["a red cube"] * 2)
    last = ddim_inversion(prior, CLEAN, even_timesteps(ZERO, TIMESTEP, 200), conditions, guidance_scale=scale)[-1]
    assert torch.allclose(last.noisy, flow(prior, prompt), atol=0.05)
    alpha, sigma = prior.schedule.at(TIMESTEP)
    assert torch.allclose(alpha * CLEAN + sigma * last.noise, last.noisy, atol=1e-5)
    assert sum(prior.rows) == 200 * 2  # One row a step and sample.


def test_more_steps_come_nearer():
    prior = Gaussians(Gaussians.Config())
    conditions = prompt_conditions(prior, [""] * 2)
    errors = [
        (ddim_inversion(prior, CLEAN, even_timesteps(ZERO, TIMESTEP, steps), conditions)[-1].noisy - flow(prior, ""))
        .abs()
        .max()
        for steps in (5, 20, 80)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_samples_on_the_way_know_what_was_predicted_there():
    prior = Gaussians(Gaussians.Config())
    conditions = prompt_conditions(prior, ["a red cube"] * 2)
    visited = ddim_inversion(prior, CLEAN, even_timesteps(ZERO, TIMESTEP, 4), conditions)
    for sample in visited[:-1]:
        expected = prior.predict(sample.noisy, sample.timestep, conditions.rows([1])).epsilon[0]
        assert torch.equal(sample.unconditional_epsilon, expected)
    assert visited[-1].unconditional_epsilon is None
    guided = ddim_inversion(prior, CLEAN, even_timesteps(ZERO, TIMESTEP, 4), conditions, guidance_scale=2.0)
    assert all(sample.unconditional_epsilon is None for sample in guided)


def test_fresh_noise_replaces_its_share():
    prior = Gaussians(Gaussians.Config())
    conditions, path = prompt_conditions(prior, [""] * 2), even_timesteps(ZERO, TIMESTEP, 3)
    fresh = torch.randn(3, *CLEAN.shape, generator=torch.Generator().manual_seed(1))
    plain, half, whole = (
        ddim_inversion(prior, CLEAN, path, conditions, fresh_noise=fresh, noise_share=share)[0]
        for share in (0.0, 0.6, 1.0)
    )
    _, sigma = prior.schedule.at(path[0])
    drift = (
        plain.noisy - sigma * prior.predict(CLEAN, torch.zeros(2, dtype=torch.long), conditions.rows([1])).epsilon[0]
    )
    assert torch.allclose(whole.noisy, drift + sigma * fresh[0], atol=1e-5)
    expected = 0.8 * (plain.noisy - drift) + 0.6 * sigma * fresh[0]
    assert torch.allclose(half.noisy - drift, expected, atol=1e-5)


def test_a_path_may_begin_at_a_noisy_sample():
    prior = Gaussians(Gaussians.Config())
    conditions, path = prompt_conditions(prior, [""] * 2), even_timesteps(ZERO, TIMESTEP, 4)
    whole = ddim_inversion(prior, CLEAN, path, conditions)
    rest = ddim_inversion(prior, CLEAN, path[2:], conditions, start=whole[1])
    assert all(torch.allclose(a.noisy, b.noisy, atol=1e-5) for a, b in zip(whole[2:], rest, strict=True))


def test_timesteps_rise_evenly_for_each_sample():
    last = torch.tensor([400, 10])
    assert even_timesteps(torch.zeros_like(last), last, 4).tolist() == [[100, 2], [200, 5], [300, 8], [400, 10]]
    assert even_timesteps(torch.tensor([200, 10]), last, 2).tolist() == [[300, 10], [400, 10]]
