from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from framework.core.errors import UserError
from framework.diffusion.noise_schedule import NoiseSchedule

VARIANCE_PRESERVING = [
    {"beta_schedule": "linear"},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "linear", "trained_betas": [0.1, 0.2, 0.3], "num_train_timesteps": 3},
]


@pytest.mark.parametrize("config", VARIANCE_PRESERVING)
def test_a_scheduler_config_reads_as_diffusers_reads_it(config):
    reference = DDPMScheduler.from_config(config)
    schedule = NoiseSchedule.from_scheduler_config(dict(reference.config))
    assert torch.allclose(schedule.alphas**2, reference.alphas_cumprod, atol=2e-6)
    assert torch.allclose(schedule.alphas**2 + schedule.sigmas**2, torch.ones(len(schedule)), atol=1e-6)


def test_the_sigmoid_betas_are_those_of_diffusers():
    reference = DDPMScheduler(beta_schedule="sigmoid")
    schedule = NoiseSchedule.from_scheduler_config(dict(reference.config))
    assert torch.allclose(schedule.alphas**2, reference.alphas_cumprod, atol=2e-6)


def test_zero_terminal_snr_leaves_no_signal_at_the_end_and_the_start_as_it_was():
    config = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    reference = DDIMScheduler.from_config({**config, "rescale_betas_zero_snr": True})
    schedule = NoiseSchedule.from_scheduler_config(dict(reference.config))
    assert torch.allclose(schedule.alphas**2, reference.alphas_cumprod, atol=2e-6)
    assert schedule.alphas[-1] == 0.0
    plain = NoiseSchedule.from_scheduler_config(config)
    assert torch.allclose(schedule.alphas[0], plain.alphas[0])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_rectified_flow_has_the_sigmas_and_times_of_diffusers(shift):
    reference = FlowMatchEulerDiscreteScheduler(shift=shift)
    schedule = NoiseSchedule.from_scheduler_config({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": shift})
    assert torch.allclose(schedule.sigmas.flip(0), reference.sigmas[: len(schedule)], atol=1e-6)
    assert torch.allclose(schedule.times.flip(0), reference.timesteps, atol=1e-3)
    assert torch.allclose(schedule.alphas + schedule.sigmas, torch.ones(len(schedule)))


def test_dynamic_shifting_trains_on_the_plain_line():
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": True}
    schedule = NoiseSchedule.from_scheduler_config(config)
    assert torch.allclose(schedule.sigmas, NoiseSchedule.rectified_flow(1000).sigmas)


def test_an_unknown_beta_schedule_is_named_with_those_that_are_known():
    with pytest.raises(UserError, match=r"'laplace' is not supported. Known: linear, scaled_linear"):
        NoiseSchedule.from_scheduler_config({"beta_schedule": "laplace"})


def test_noise_is_added_as_diffusers_adds_it():
    reference = DDPMScheduler()
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 2, 4, 4, generator=generator)[:, :, :, :, :].unbind(0)
    timestep = torch.tensor([3, 500, 999])
    sample = NoiseSchedule.linear(1000).add_noise(clean, noise, timestep)
    assert torch.allclose(sample.noisy, reference.add_noise(clean, noise, timestep), atol=1e-5)


def test_each_sample_of_a_batch_gets_its_own_timestep():
    schedule = NoiseSchedule.cosine(10)
    clean, noise = torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    noisy = schedule.add_noise(clean, noise, torch.tensor([0, 9])).noisy
    assert torch.equal(noisy.flatten(), schedule.alphas[[0, 9]])
