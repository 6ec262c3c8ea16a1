"""VSD: with the exact score of its particles it samples the data; with an adapter it runs on the bundled network."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from gaussians import Gaussians
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import CONDITIONERS, PRIORS
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.diffusion.adapters import AdapterSettings
from framework.diffusion.conditions import Conditions
from framework.diffusion.prediction import Prediction
from framework.diffusion.sampling import prompt_conditions
from framework.guidance.combination import ClassifierFree
from framework.guidance.replay import ReplayBuffer
from framework.guidance.rules import variational_residual
from framework.guidance.variational import Variational
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views

STEP = StepInfo(3, 100, seed=5)


class Particles:
    """The exact denoiser of a finite set of samples."""

    def __init__(self, prior: Gaussians, samples: Tensor) -> None:
        self.prior, self.samples = prior, samples

    def predict(self, noisy: Tensor, timestep: Tensor, conditions: Conditions) -> Prediction:
        alpha, sigma = self.prior.schedule.at(timestep)
        distance = (noisy[:, None] - alpha[:, None] * self.samples[None]).square().sum(dim=(2, 3, 4))
        share = torch.softmax(-distance / (2.0 * sigma.flatten()[:, None] ** 2), dim=1)
        clean = torch.einsum("bn,nchw->bchw", share, self.samples)
        return Prediction(((noisy - alpha * clean) / sigma)[None], noisy, alpha, sigma, "epsilon")


def test_with_the_exact_score_of_its_particles_it_ends_as_samples_of_the_data():
    prior = Gaussians(Gaussians.Config(size=1, channels=1))
    combination = ClassifierFree(ClassifierFree.Config())
    generator = torch.Generator().manual_seed(0)
    particles = 0.05 * torch.randn(64, 1, 1, 1, generator=generator) - 0.5
    conditions = prompt_conditions(prior, ["a red cube"] * 64)
    for step in range(600):
        timestep = torch.randint(20, 980, (64,), generator=generator)
        sample = prior.schedule.add_noise(particles, torch.randn(particles.shape, generator=generator), timestep)
        residual = variational_residual(
            prior, sample, conditions, combination, 1.0, Particles(prior, particles), conditions
        )
        particles = particles - 0.1 * (1.0 - step / 600) * residual
    mean, deviation = float(prior.mean("a red cube")), prior.config.deviation
    assert abs(particles.mean().item() - mean) < 3.0 * deviation / 8.0
    assert particles.var().item() == pytest.approx(deviation**2, rel=0.2)


@pytest.fixture(scope="module")
def toybox():
    return PRIORS.build(PRIORS.find("toybox").Config(), device=torch.device("cpu"))


@pytest.fixture
def frame() -> Frame:
    angles = torch.tensor([0.3, 2.0])
    views = Views.orbit(angles, 0.1 * angles, angles + 2.5, torch.full((2,), 0.8), height=64, width=64)
    image = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    flat = torch.ones(2, 64, 64, 1)
    return Frame(torch.nn.Module(), views, RenderOutput(rgb=image, opacity=flat, depth=flat, renderer="none"), STEP)


def variational(prior, **options) -> Variational:
    options = {"prompts": CONDITIONERS.find("camera").Config(), "preview_every": 0} | options
    return Variational(Variational.Config(**options), name="main", prior=prior, prompt="a red cube", seed=5)


class Counter:
    """Counts rows of a denoiser, those with gradients apart."""

    def __init__(self, guidance: Variational, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frozen = self.plain = self.trained = 0
        prior_predict, adapter_predict = guidance.prior.predict, guidance.adapter.predict

        def frozen(noisy, timestep, conditions):
            self.frozen += conditions.weights.numel()
            return prior_predict(noisy, timestep, conditions)

        def adapted(noisy, timestep, conditions):
            self.trained += torch.is_grad_enabled() * conditions.weights.numel()
            self.plain += (not torch.is_grad_enabled()) * conditions.weights.numel()
            return adapter_predict(noisy, timestep, conditions)

        monkeypatch.setattr(guidance.prior, "predict", frozen)
        monkeypatch.setattr(guidance.adapter, "predict", adapted)


def test_a_step_costs_three_rows_and_one_with_gradients(toybox, frame, monkeypatch):
    guidance = variational(toybox)
    counter = Counter(guidance, monkeypatch)
    (update,) = guidance(frame).updates
    assert update.repeats == 1
    update.loss(0).backward()
    assert (counter.frozen, counter.plain, counter.trained) == (2 * 2, 1 * 2, 1 * 2)


def test_an_untrained_adapter_predicts_what_the_prior_does_without_a_camera(toybox, frame):
    for camera in ("extrinsics", "projection", "spherical"):
        guidance = variational(toybox, adapter=AdapterSettings(camera=camera))
        noisy, timestep = (
            torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)),
            torch.tensor([300, 700]),
        )
        conditions = guidance._particle_conditions(frame.views, STEP, withheld=None)
        withheld = dataclasses.replace(conditions, camera_present=torch.zeros(2, 2, dtype=torch.bool))
        with torch.no_grad():
            adapted = guidance.adapter.predict(noisy, timestep, conditions).raw
            assert torch.allclose(adapted, toybox.predict(noisy, timestep, withheld).raw, atol=1e-5)


def test_an_adapter_learns_the_render_and_leaves_the_prior_as_it_was(toybox, frame):
    before = {name: value.clone() for name, value in toybox.model.unet.state_dict().items()}
    layers = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2")
    guidance = variational(toybox, adapter=AdapterSettings(layers=layers))
    optimizer = torch.optim.Adam(guidance.parameters(), lr=5e-3)
    losses = []
    for _ in range(16):
        (update,) = guidance(frame).updates  # The same step: the same noise.
        optimizer.zero_grad()
        loss = update.loss(0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    after = toybox.model.unet.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in toybox.model.unet.parameters())


def test_the_state_is_the_adapter_alone_and_brings_it_back(toybox, frame):
    one, other = variational(toybox), variational(toybox)
    names = list(one.state_dict())
    assert names and all(name.startswith("adapter.weights.") for name in names)
    assert all("lora" in name or "class_embedding" in name for name in names)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(0.05)
    assert not torch.equal(*(_residual(guidance, frame) for guidance in (one, other)))
    other.load_state_dict(one.state_dict())
    assert torch.equal(*(_residual(guidance, frame) for guidance in (one, other)))


def test_initial_values_follow_the_seed(toybox):
    one, other = variational(toybox), variational(toybox)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    third = Variational(one.config, name="main", prior=toybox, prompt="a red cube", seed=6)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), third.parameters(), strict=True))


def test_a_scale_below_one_lies_between_with_and_without_the_camera(toybox, frame):
    residuals = []
    for scale in (0.0, 0.25, 1.0):
        guidance = variational(toybox, particle_scale=scale)
        with torch.no_grad():
            for parameter in guidance.parameters():
                parameter.add_(0.05)  # So that the camera has an influence.
        residuals.append(_residual(guidance, frame))
    assert not torch.allclose(residuals[0], residuals[2], atol=1e-3)
    assert torch.allclose(residuals[1], 0.75 * residuals[0] + 0.25 * residuals[2], atol=1e-4)


def test_cameras_are_withheld_as_often_as_asked_for(toybox, frame):
    for dropout, expected in ((0.0, False), (1.0, True)):
        guidance = variational(toybox, camera_dropout=dropout, guidance_scale=Constant(1.0))
        seen = []
        predict = guidance.adapter.predict
        guidance.adapter.predict = lambda noisy, time, conditions, seen=seen, predict=predict: (
            seen.append(conditions.camera_present) or predict(noisy, time, conditions)
        )
        (update,) = guidance(frame).updates
        seen.clear()
        update.loss(0)
        assert bool((seen[0] != expected).all())


def test_further_updates_draw_from_earlier_renders(toybox, frame):
    guidance = variational(toybox, updates_per_step=3, replay_size=4)
    (update,) = guidance(frame).updates
    assert update.repeats == 3
    assert int(guidance.replay.count) == 2
    losses = [update.loss(repeat).item() for repeat in range(3)]
    assert len(set(losses)) == 3
    assert "replay.samples" in guidance.state_dict()


def test_a_replay_buffer_is_a_ring():
    buffer = ReplayBuffer(3, (1, 2, 2))
    with pytest.raises(ValueError, match="empty"):
        buffer.draw(1, torch.Generator(), StepInfo(0, 1))
    angles = torch.arange(5.0)
    views = Views.orbit(0.1 * angles, 0.2 * angles, angles + 2.0, 0.5 + 0.1 * angles, height=2, width=2)
    for item in range(5):
        buffer.add(torch.full((1, 1, 2, 2), float(item)), views[item])
    samples, drawn = buffer.draw(200, torch.Generator().manual_seed(0), StepInfo(0, 1))
    values = samples[:, 0, 0, 0]
    assert set(values.tolist()) == {2.0, 3.0, 4.0}
    assert torch.allclose(drawn.azimuth, 0.1 * values) and torch.allclose(drawn.distance, values + 2.0)
    assert torch.allclose(drawn.cameras.camera_to_world, views[values.long()].cameras.camera_to_world)
    assert torch.allclose(drawn.cameras.fov_y, 0.5 + 0.1 * values) and torch.allclose(drawn.elevation, 0.2 * values)


def test_priors_without_a_network_name_what_would_do():
    prior = PRIORS.build(PRIORS.find("analytic").Config(), device=torch.device("cpu"))
    with pytest.raises(UserError, match="particle_prior"):
        variational(prior)


def test_a_network_can_learn_for_a_prior_without_one(toybox, frame):
    prior = PRIORS.build(PRIORS.find("analytic").Config(), device=torch.device("cpu"))
    guidance = variational(prior, particle_prior=toybox.config)
    assert _residual(guidance, frame).isfinite().all()
    assert guidance.parameterization == "sample" != prior.parameterization


@pytest.mark.parametrize(
    ("options", "message"),
    [({"image_size": 32}, "must see what the prior sees"), ({"noise_schedule": "scaled-linear"}, "noise levels")],
)
def test_models_that_see_something_else_are_refused(toybox, options, message):
    prior = PRIORS.build(PRIORS.find("analytic").Config(**options), device=torch.device("cpu"))
    with pytest.raises(UserError, match=message):
        variational(prior, particle_prior=toybox.config)


@pytest.mark.parametrize(
    "wrong", [{"updates_per_step": 0}, {"replay_size": -1}, {"camera_dropout": 1.5}, {"gradient_clip": Constant(0.0)}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        Variational.Config(**wrong)


def test_layers_that_do_not_exist_are_named(toybox):
    with pytest.raises(UserError, match="no layer of the prior's UNet is called to_nothing"):
        variational(toybox, adapter=AdapterSettings(layers=("to_nothing",)))


def _residual(guidance: Variational, frame: Frame) -> Tensor:
    with torch.no_grad():
        conditions = guidance.conditioner(frame.views, frame.step)
        sample = guidance.perturb(guidance.prior.encode(frame.render.rgb), conditions, frame)
        return guidance.residual(sample, conditions, frame)
