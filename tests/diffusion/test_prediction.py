from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from framework.core.errors import UserError
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Prediction, classifier_free, raw_target, scheduler_parameterization

COSINE, FLOW = NoiseSchedule.cosine(1000), NoiseSchedule.rectified_flow(1000)
# Velocity is defined for variance-preserving schedules only.
DEFINED = [("epsilon", COSINE), ("velocity", COSINE), ("sample", COSINE), ("flow", COSINE)]
DEFINED += [("epsilon", FLOW), ("sample", FLOW), ("flow", FLOW)]


def _example(schedule, timestep):
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 2, 3, 4, 4, generator=generator).unbind(0)
    return schedule.add_noise(clean, noise, torch.tensor(timestep))


@pytest.mark.parametrize(("parameterization", "schedule"), DEFINED)
def test_a_perfect_prediction_returns_the_clean_sample_and_the_noise(parameterization, schedule):
    example = _example(schedule, [200, 600])
    alpha, sigma = schedule.at(example.timestep)
    raw = raw_target(example.clean, example.noise, alpha, sigma, parameterization)
    prediction = Prediction(raw, example.noisy, alpha, sigma, parameterization)
    assert torch.allclose(prediction.sample, example.clean, atol=1e-5)
    assert torch.allclose(prediction.epsilon, example.noise, atol=1e-5)


@pytest.mark.parametrize("stated", ["epsilon", "v_prediction", "sample"])
def test_conversions_are_those_of_diffusers(stated):
    reference = DDIMScheduler(prediction_type=stated, clip_sample=False)
    reference.set_timesteps(1000)
    schedule = NoiseSchedule.from_scheduler_config(dict(reference.config))
    example = _example(schedule, [400, 400])
    raw = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    alpha, sigma = schedule.at(example.timestep)
    prediction = Prediction(raw, example.noisy, alpha, sigma, scheduler_parameterization(reference.config))
    expected = reference.step(raw, 400, example.noisy).pred_original_sample
    assert torch.allclose(prediction.sample, expected, atol=1e-5)


def test_velocity_training_targets_are_those_of_diffusers():
    reference = DDIMScheduler()
    schedule = NoiseSchedule.linear(1000)
    example = _example(schedule, [100, 900])
    alpha, sigma = schedule.at(example.timestep)
    target = raw_target(example.clean, example.noise, alpha, sigma, "velocity")
    expected = reference.get_velocity(example.clean, example.noise, example.timestep)
    assert torch.allclose(target, expected, atol=1e-6)


@pytest.mark.parametrize("parameterization", ["velocity", "sample", "flow"])
def test_the_clean_sample_stays_finite_where_no_signal_is_left(parameterization):
    zero, one = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    prediction = Prediction(one, 2 * one, zero, one, parameterization)
    assert torch.isfinite(prediction.sample).all()


def test_a_scheduler_states_what_its_model_predicts():
    assert scheduler_parameterization({"prediction_type": "v_prediction"}) == "velocity"
    assert scheduler_parameterization({}) == "epsilon"
    assert scheduler_parameterization({"_class_name": "FlowMatchEulerDiscreteScheduler"}) == "flow"
    with pytest.raises(UserError, match="'score' is not supported"):
        scheduler_parameterization({"prediction_type": "score"})


def test_classifier_free_guidance_starts_at_the_unconditional_prediction():
    conditional, unconditional = torch.tensor([3.0]), torch.tensor([1.0])
    assert classifier_free(conditional, unconditional, 0.0) == unconditional
    assert classifier_free(conditional, unconditional, 1.0) == conditional
    assert classifier_free(conditional, unconditional, 7.5) == 1.0 + 7.5 * 2.0
