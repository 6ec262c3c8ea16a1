"""Rules in a plain loop."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from gaussians import Gaussians

import framework
from framework import DDS, PDS, SDS, VSD, Rule, load_prior
from framework.core.errors import ConfigError, UserError
from framework.core.registries import GUIDANCES
from framework.guidance import library
from framework.structures.cameras import Cameras
from framework.structures.views import Views

ANGLES = torch.tensor([0.1, 2.0])


def cameras() -> Cameras:
    return Cameras.orbit(ANGLES, 0.1 * ANGLES, ANGLES + 2.5, torch.full((2,), 0.8), height=8, width=8)


def images() -> torch.Tensor:
    return torch.full((2, 8, 8, 3), 0.5, requires_grad=True)


def rules() -> list[type[Rule]]:
    return [item for item in vars(library).values() if isinstance(item, type) and issubclass(item, Rule)][1:]


def test_every_registered_guidance_has_a_rule_which_the_package_offers():
    assert sorted(rule.name for rule in rules()) == GUIDANCES.names()
    assert all(getattr(framework, rule.__name__) is rule for rule in rules())
    with pytest.raises(AttributeError, match="no attribute 'SDSS'"):
        framework.SDSS  # noqa: B018


def test_a_plain_loop_arrives_at_what_the_prompt_names():
    prior = Gaussians(Gaussians.Config())
    rule = SDS(prior, "a red cube", guidance_scale=1, max_steps=300)
    rgb = images()
    optimizer = torch.optim.Adam([rgb], lr=0.03)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.03 * (1.0 - step / 300)
        optimizer.zero_grad()
        rule.loss(rgb).backward()
        optimizer.step()
    target = prior.decode(prior.mean("a red cube")[None])
    assert (rgb - target).square().mean().sqrt() < 0.06
    assert rule.step.step == 300 and set(rule.metrics) == {"gradient_norm", "timestep", "guidance_scale"}


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule is not VSD])
def test_every_rule_gives_a_gradient_and_the_same_one_for_the_same_seed(rule):
    gradients = []
    for seed in (0, 0, 1):
        rgb = images()
        settings = {"source_image": {"type": "toybox-scene", "prompt": "a sphere"}} if rule in (DDS, PDS) else {}
        rule(Gaussians(Gaussians.Config()), "a red cube", seed=seed, **settings).loss(rgb, cameras()).backward()
        gradients.append(rgb.grad)
    assert bool(gradients[0].any())
    assert torch.equal(gradients[0], gradients[1]) and not torch.equal(gradients[0], gradients[2])


def test_with_cameras_the_side_is_told_in_words_and_without_it_is_not():
    for given, texts in ((cameras(), ["a car, front view", "a car, side view"]), (None, ["a car"])):
        prior = Gaussians(Gaussians.Config())
        SDS(prior, "a car").loss(images(), given)
        assert set(texts) <= set(prior.prompts.values())
        assert ("a car" in prior.prompts.values()) == (given is None)


def test_settings_are_those_of_a_config_and_are_checked_at_once():
    prior = Gaussians(Gaussians.Config())
    rule = SDS(prior, "x", guidance_scale={"type": "linear", "from": 7.0, "to": 1.0}, max_steps=10, prompts="camera")
    rule.loss(images(), cameras())
    assert rule.metrics["guidance_scale"] == 7.0
    with pytest.raises(ConfigError, match="Did you mean 'guidance_scale'"):
        SDS(prior, "x", guidence_scale=3)


def test_a_rule_that_trains_an_adapter_does_so_in_the_loop():
    prior = load_prior("toybox")
    assert load_prior("toybox") is prior
    rule = VSD(prior, "a red cube", guidance_scale=1, adapter_learning_rate=1e-2)
    rgb = torch.full((1, 64, 64, 3), 0.5, requires_grad=True)
    rule.loss(rgb)
    before = [parameter.clone() for parameter in rule.guidance.parameters()]
    rule.loss(rgb).backward()
    assert any(not torch.equal(a, b) for a, b in zip(before, rule.guidance.parameters(), strict=True))
    assert rgb.grad.abs().sum() > 0


def test_priors_are_found_by_name_or_folder():
    with pytest.raises(UserError, match=r"no prior is called 'toybx'\. Did you mean 'toybox'"):
        load_prior("toybx")
    with pytest.raises(UserError, match=r"There is no model folder at '\./nowhere'"):
        load_prior("./nowhere")
    assert load_prior("analytic", image_size=16).sample_shape == (3, 16, 16)


def test_views_of_cameras_are_the_angles_they_stand_at():
    views = Views.of_cameras(cameras())
    assert torch.allclose(views.azimuth, ANGLES, atol=1e-6) and torch.allclose(views.elevation, 0.1 * ANGLES, atol=1e-6)
    assert torch.allclose(views.distance, ANGLES + 2.5)


def test_the_package_itself_imports_no_torch():
    code = "import framework, sys; assert 'torch' not in sys.modules; framework.SDS; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
