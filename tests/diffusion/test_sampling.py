from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from framework.diffusion.conditions import Conditions
from framework.diffusion.pretrained import PretrainedPrior
from framework.diffusion.sampling import sample, sampling_timesteps

CPU = torch.device("cpu")


@torch.no_grad()
@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_samples_are_those_of_the_ddim_of_diffusers(model_folder, guidance_scale):
    folder = model_folder(is_latent=True, scheduler={"prediction_type": "v_prediction"})
    prior = PretrainedPrior(PretrainedPrior.Config(model=str(folder)), device=CPU)
    conditions = Conditions(prior.encode_text(["x", ""])[torch.tensor([[0, 0], [1, 1]])], torch.ones(2, 2))
    drawn = sample(
        prior, conditions, guidance_scale=guidance_scale, num_steps=5, generator=torch.Generator().manual_seed(0)
    )
    x_t = torch.randn(2, *prior.sample_shape, generator=torch.Generator().manual_seed(0))
    reference = DDIMScheduler(prediction_type="v_prediction", clip_sample=False, timestep_spacing="trailing")
    reference.set_timesteps(5)
    for time in reference.timesteps:
        raw = prior.predict(x_t, time.expand(2), conditions).raw
        x_t = reference.step(raw[1] + guidance_scale * (raw[0] - raw[1]), time, x_t).prev_sample
    assert torch.allclose(drawn, x_t, atol=1e-4)


def test_sampling_begins_with_pure_noise_and_goes_down_evenly():
    assert sampling_timesteps(1000, 4).tolist() == [999, 749, 499, 249]
    assert sampling_timesteps(3, 3).tolist() == [2, 1, 0]
