from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from framework.core.registries import WEIGHTINGS
from framework.diffusion.noise_schedule import NoiseSchedule


@pytest.mark.parametrize(
    ("name", "closed_form"),
    [
        ("dreamfusion", lambda abar: 1.0 - abar),
        ("uniform", torch.ones_like),
        ("noise-to-signal", lambda abar: ((1.0 - abar) / abar).sqrt().clamp(max=100.0)),
        ("fantasia3d", lambda abar: abar.sqrt() * (1.0 - abar)),
    ],
)
def test_weights_are_those_of_the_papers(name, closed_form):
    weighting = WEIGHTINGS.build(WEIGHTINGS.find(name).Config())
    timestep = torch.tensor([0, 400, 999])
    abar = DDPMScheduler().alphas_cumprod[timestep]
    weights = weighting(NoiseSchedule.linear(1000), timestep)
    assert weights.shape == (3, 1, 1, 1)
    assert torch.allclose(weights.flatten(), closed_form(abar), atol=1e-5)
