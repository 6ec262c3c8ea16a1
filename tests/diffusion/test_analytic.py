from __future__ import annotations

import math

import pytest
import torch

from framework.diffusion.analytic import AnalyticPrior
from framework.diffusion.conditions import Conditions
from framework.diffusion.sampling import sample
from framework.structures.views import Views

CPU = torch.device("cpu")


def _prior(**options):
    return AnalyticPrior(AnalyticPrior.Config(image_size=16, **options), device=CPU)


def _conditions(prior, views, rows=1):
    index = torch.zeros(rows, len(views), dtype=torch.long)
    return Conditions(prior.encode_text(["anything"])[index], torch.ones(rows, len(views)), views)


def test_the_predicted_noise_is_the_closed_form(views):
    prior = _prior(standard_deviation=0.3)
    noisy = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([100, 800])
    prediction = prior.predict(noisy, timestep, _conditions(prior, views))
    alpha, sigma = prior.schedule.at(timestep)
    mean = prior.encode(prior.truth(views))
    expected = sigma * (noisy - alpha * mean) / (alpha**2 * 0.09 + sigma**2)
    assert torch.allclose(prediction.epsilon[0], expected, atol=1e-6)


def test_the_predicted_noise_is_the_score_of_the_noisy_data(views):
    prior = _prior(standard_deviation=0.3)
    noisy = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    timestep = torch.tensor([100, 800])
    alpha, sigma = prior.schedule.at(timestep)
    mean = prior.encode(prior.truth(views))
    data = torch.distributions.Normal(alpha * mean, (alpha**2 * 0.09 + sigma**2).sqrt().expand_as(mean))
    (score,) = torch.autograd.grad(data.log_prob(noisy).sum(), noisy)
    prediction = prior.predict(noisy.detach(), timestep, _conditions(prior, views))
    assert torch.allclose(prediction.epsilon[0], -sigma * score, atol=1e-4)


@pytest.mark.parametrize("parameterization", ["velocity", "sample", "flow"])
def test_all_parameterizations_say_the_same(views, parameterization):
    noisy = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([100, 800])
    reference, other = _prior(), _prior(parameterization=parameterization)
    expected = reference.predict(noisy, timestep, _conditions(reference, views))
    prediction = other.predict(noisy, timestep, _conditions(other, views))
    assert torch.allclose(prediction.epsilon, expected.epsilon, atol=1e-4)
    assert torch.allclose(prediction.sample, expected.sample, atol=1e-4)


def test_all_conditions_agree(views):
    prior = _prior()
    noisy = torch.randn(2, 3, 16, 16)
    raw = prior.predict(noisy, torch.tensor([5, 5]), _conditions(prior, views, rows=3)).raw
    assert raw.shape == (3, 2, 3, 16, 16)
    assert torch.equal(raw[0], raw[2])


def test_without_views_it_refuses():
    prior = _prior()
    conditions = Conditions(prior.encode_text([""])[torch.zeros(1, 2, dtype=torch.long)], torch.ones(1, 2))
    with pytest.raises(ValueError, match="needs to know the views"):
        prior.predict(torch.zeros(2, 3, 16, 16), torch.tensor([5, 5]), conditions)


def test_sampling_draws_images_about_the_truth(views):
    prior = _prior(standard_deviation=0.05)
    drawn = sample(prior, _conditions(prior, views), num_steps=20, generator=torch.Generator().manual_seed(0))
    assert (prior.decode(drawn) - prior.truth(views)).square().mean().sqrt() < 0.05


def test_the_edge_of_the_sphere_covers_pixels_as_fine_sampling_does():
    prior = _prior(center=(0.1, -0.2, 0.15), radius=0.5, contrast=0.0, background=(1.0, 1.0, 1.0))
    angles = torch.tensor([0.4]), torch.tensor([0.5]), torch.tensor([2.6]), torch.tensor([0.8])
    coarse = prior.truth(Views.orbit(*angles, height=32, width=32))
    fine = prior.truth(Views.orbit(*angles, height=512, width=512)).unflatten(1, (32, 16)).unflatten(3, (32, 16))
    difference = (coarse - fine.mean((2, 4))).abs()
    assert difference.max() < 0.06
    assert difference.mean() < 2e-3


def test_the_sphere_has_the_size_that_perspective_gives_it():
    prior = _prior(radius=0.6, contrast=0.0, background=(1.0, 1.0, 1.0))
    angles = torch.tensor([0.0]), torch.tensor([0.0]), torch.tensor([3.0]), torch.tensor([0.8])
    image = prior.truth(Views.orbit(*angles, height=256, width=256))
    covered = (1.0 - image[..., 0]).sum() / 0.5
    focal = 128 / math.tan(0.4)
    radius = focal * math.tan(math.asin(0.6 / 3.0))
    assert covered.item() == pytest.approx(math.pi * radius**2, rel=0.005)


def test_colours_say_which_side_is_seen():
    prior = _prior()
    sides = prior.color(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]))
    assert torch.allclose(sides[:3], 0.5 + 0.4 * torch.eye(3))
    assert torch.allclose(sides[3], torch.tensor([0.1, 0.5, 0.5]))
    views = Views.orbit(torch.zeros(1), torch.zeros(1), torch.full((1,), 3.0), torch.full((1,), 0.7), height=9, width=9)
    assert torch.allclose(prior.truth(views)[0, 4, 4], sides[0], atol=1e-3)


def test_a_view_of_another_size_has_the_same_truth(views):
    prior = _prior()
    large = Views.orbit(views.azimuth, views.elevation, views.distance, views.cameras.fov_y, height=64, width=64)
    assert (prior.encode(prior.truth(large)) - prior.encode(prior.truth(views))).abs().mean() < 0.02


def test_points_are_inside_by_their_distance_to_the_centre():
    prior = _prior(center=(1.0, 0.0, 0.0), radius=0.5)
    points = torch.tensor([[1.0, 0.49, 0.0], [1.0, 0.51, 0.0], [0.0, 0.0, 0.0]])
    assert prior.inside(points).tolist() == [True, False, False]


@pytest.mark.parametrize("wrong", [{"radius": 0.0}, {"contrast": 1.5}, {"standard_deviation": -1.0}, {"image_size": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        AnalyticPrior.Config(**wrong)
