"""Every registered part of a guidance, every optimizer and every exporter builds from its defaults and does its work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gaussians import Gaussians
from torch import nn

from framework.core.errors import UserError
from framework.core.registries import (
    COMBINATIONS,
    CONDITIONERS,
    DENSITY_BIASES,
    EXPORTERS,
    GUIDANCES,
    OPTIMIZERS,
    PERTURBATIONS,
    PRIORS,
    RENDERERS,
    SOURCES,
    TIMESTEPS,
    WEIGHTINGS,
)
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.diffusion.prior import Prior
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views
from framework.systems.optimization import ParameterGroup

STEP = StepInfo(0, 10)
PARTS = {
    "prompts": CONDITIONERS,
    "timesteps": TIMESTEPS,
    "perturbation": PERTURBATIONS,
    "weighting": WEIGHTINGS,
    "combination": COMBINATIONS,
}


@pytest.fixture(scope="module")
def network() -> Prior:
    """For rules that train an adapter of a network."""
    return PRIORS.build(PRIORS.find("toybox").Config(), device=torch.device("cpu"))


def guided_gradient(network: Prior, name: str, **parts: Any) -> torch.Tensor:
    """The gradient of the guidance called `name` on a gray render of two views."""
    settings = {key: PARTS[key].find(part).Config() for key, part in parts.items()}
    if GUIDANCES.find(name).compares_source:
        settings["source_image"] = SOURCES.find("toybox-scene").Config(prompt="a sphere")
    config = GUIDANCES.find(name).Config(**settings)
    try:
        guidance = GUIDANCES.build(config, name="main", prior=Gaussians(Gaussians.Config()), prompt="a red cube")
    except UserError:
        guidance = GUIDANCES.build(config, name="main", prior=network, prompt="a red cube")
    size = guidance.prior.sample_shape[-1]
    image = torch.full((2, size, size, 3), 0.5, requires_grad=True)
    channel = torch.ones(2, size, size, 1)
    angles = torch.tensor([0.0, 2.0])
    views = Views.orbit(angles, 0.1 * angles, angles + 2.5, torch.full((2,), 0.8), height=size, width=size)
    normal = torch.zeros(2, size, size, 3)
    render = RenderOutput(rgb=image, opacity=channel, depth=channel, renderer="volume", normal=normal)
    output = guidance(Frame(nn.Module(), views, render, STEP))
    torch.stack(list(output.losses.values())).sum().backward()
    assert image.grad is not None
    return image.grad


@pytest.mark.parametrize("name", GUIDANCES.names())
def test_a_guidance_moves_the_render_and_draws_equally_in_equal_steps(network: Prior, name: str) -> None:
    gradient = guided_gradient(network, name)
    assert bool(gradient.isfinite().all()) and bool(gradient.any())
    assert torch.equal(guided_gradient(network, name), gradient)


@pytest.mark.parametrize("guidance", GUIDANCES.names())
@pytest.mark.parametrize(("key", "name"), [(key, name) for key, registry in PARTS.items() for name in registry.names()])
def test_every_part_fits_into_every_guidance(network: Prior, guidance: str, key: str, name: str) -> None:
    gradient = guided_gradient(network, guidance, **{key: name})
    assert bool(gradient.isfinite().all()) and bool(gradient.any())


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_an_optimizer_trains_its_groups_at_their_rates(name: str) -> None:
    model = nn.ModuleDict({"fast": nn.Linear(2, 2), "still": nn.Linear(2, 2)})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    groups = {"fast": ParameterGroup(learning_rate=Constant(0.1)), "still": ParameterGroup(learning_rate=Constant(0.0))}
    settings = OPTIMIZERS.build(OPTIMIZERS.find(name).Config(parameters=groups))
    optimizer = settings.build(model)
    (model["fast"](torch.ones(1, 2)) + model["still"](torch.ones(1, 2))).sum().backward()
    assert settings.set_learning_rates(optimizer, STEP) == {"fast": 0.1, "still": 0.0}
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fast.weight", "fast.bias"}


@pytest.mark.parametrize("name", DENSITY_BIASES.names())
def test_a_density_bias_is_finite_everywhere(name: str) -> None:
    bias = DENSITY_BIASES.build(DENSITY_BIASES.find(name).Config())
    values = bias(torch.tensor([[0.0, 0, 0], [1, -1, 1]]), STEP)
    assert values.shape == (2,) and bool(values.isfinite().all())


@pytest.mark.parametrize(("registry", "dependencies"), [(EXPORTERS, {}), (RENDERERS, {"backends": {}})])
def test_exporters_and_renderers_build_from_their_defaults(registry: Any, dependencies: dict[str, Any]) -> None:
    for name in registry.names():
        part = registry.build(registry.find(name).Config(), **dependencies)
        assert part.config == registry.find(name).Config()
