"""Every rule beside a slow one in double precision, written sample by sample from its formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from gaussians import Gaussians
from torch import Tensor

from framework.core.registries import CONDITIONERS, GUIDANCES, PERTURBATIONS, SOURCES, TIMESTEPS
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.noise_schedule import NoisySample
from framework.guidance.rules import surrogate_loss
from framework.structures.losses import Frame
from framework.structures.views import Views

STEP = StepInfo(7, 100)
IMAGE = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
TIMES = (300, 700)
PROMPT, UNWANTED = "a red cube", "a bad picture"
SOURCE = SOURCES.find("toybox-scene").Config(prompt="a sphere")
ELSEWHERE = {"variational", "delta-denoising", "posterior"}
"""Rules whose formulas are tested in files of their own."""
Epsilon = Callable[[Tensor, int, str], Tensor]


def test_the_surrogate_hands_the_residual_to_the_sample_as_a_mean():
    generator = torch.Generator().manual_seed(0)
    clean, residual = torch.randn(2, 2, 3, 4, 5, generator=generator).unbind(0)
    clean.requires_grad_()
    (gradient,) = torch.autograd.grad(surrogate_loss(clean, residual), clean)
    assert torch.allclose(gradient, residual / clean.numel(), atol=1e-7)


class Slow:
    """The Gaussian prior of one prompt and one sample at a time, in double precision, from its definition."""

    def __init__(self, prior: Gaussians) -> None:
        self.prior = prior

    def shares(self, time: int) -> tuple[float, float]:
        alpha = float(self.prior.schedule.alphas.double()[time])
        return alpha, float(self.prior.schedule.sigmas.double()[time])

    def eps(self, noisy: Tensor, time: int, prompt: str) -> Tensor:
        alpha, sigma = self.shares(time)
        precision = 1.0 / (alpha**2 * self.prior.config.deviation**2 + sigma**2)
        return sigma * precision * (noisy - alpha * self.prior.mean(prompt).double())

    def clean(self, noisy: Tensor, time: int, prompt: str) -> Tensor:
        alpha, sigma = self.shares(time)
        return (noisy - sigma * self.eps(noisy, time, prompt)) / alpha

    def guided(self, noisy: Tensor, time: int, scale: float) -> Tensor:
        none = self.eps(noisy, time, "")
        return none + scale * (self.eps(noisy, time, PROMPT) - none)

    def mix(self, clean: Tensor, noise: Tensor, time: int) -> Tensor:
        alpha, sigma = self.shares(time)
        return alpha * clean + sigma * noise

    def invert(self, clean: Tensor, times: list[int], scale: float) -> list[Tensor]:
        """Noisy samples at each time: DDIM with its steps reversed."""
        noisy, now, visited = clean, 0, []
        for following in times:
            epsilon = self.guided(noisy, now, scale)
            alpha, sigma = self.shares(now)
            predicted = (noisy - sigma * epsilon) / alpha
            noisy, now = self.mix(predicted, epsilon, following), following
            visited.append(noisy)
        return visited


def slow_residual(slow: Slow, name: str, clean: Tensor, noise: Tensor, time: int, partner: int) -> Tensor:
    """The rule called `name` for one sample, with the scale 5."""
    noisy, scale = slow.mix(clean, noise, time), 5.0
    none = slow.eps(noisy, time, "")
    prompt = slow.eps(noisy, time, PROMPT)
    unwanted = slow.eps(noisy, time, UNWANTED)
    if name in ("score-distillation", "image-space"):
        return none + scale * (prompt - none) - noise
    if name == "classifier-score":
        return (prompt - none) + 0.5 * (none - unwanted)
    if name == "noise-free":
        domain = none if time < 0.4 * 1000 else none - unwanted
        return domain + scale * (prompt - none)
    if name == "bridge":
        return scale * (prompt - unwanted)
    if name == "asynchronous":
        return slow.guided(noisy, time, scale) - slow.eps(slow.mix(clean, noise, partner), partner, PROMPT)
    if name == "rectified-flow":
        direction = slow.guided(noisy, time, scale) - (
            slow.clean(noisy, time, "") + scale * (slow.clean(noisy, time, PROMPT) - slow.clean(noisy, time, ""))
        )
        return direction - (noise - clean)
    if name == "interval-score":
        early, late = slow.invert(clean, [round(partner / 3), round(2 * partner / 3), partner, time], 0.0)[-2:]
        return slow.guided(late, time, scale) - slow.eps(early, partner, "")
    assert name == "inversion-score"
    late = slow.invert(clean, [round(time * share / 4) for share in (1, 2, 3, 4)], -scale)[-1]
    alpha, sigma = slow.shares(time)
    return slow.guided(late, time, scale) - (late - alpha * clean) / sigma


SETTINGS = {
    "classifier-score": {"unwanted": UNWANTED, "unwanted_weight": Constant(0.5)},
    "noise-free": {"unwanted": UNWANTED, "low_fraction": 0.4},
    "bridge": {"source": UNWANTED, "target": "{prompt}", "start": 0.0},
    "delta-denoising": {"source_image": SOURCE},
    "posterior": {"source_image": SOURCE},
    "interval-score": {
        "perturbation": PERTURBATIONS.find("ddim-inversion").Config(num_steps=4),
        "interval_fraction": Constant(0.1),
    },
    "inversion-score": {
        "perturbation": PERTURBATIONS.find("negated-inversion").Config(
            num_steps=4, guidance_scale=Constant(-5.0), noise_share=0.0
        )
    },
}


def guidance_of(prior: Gaussians, name: str, **options):
    plain = CONDITIONERS.find("plain").Config()
    options = {"prompts": plain, "guidance_scale": Constant(5.0), "preview_every": 0} | SETTINGS.get(name, {}) | options
    config = GUIDANCES.find(name).Config(**options)
    return GUIDANCES.build(config, name="main", prior=prior, prompt=PROMPT)


def perturbed(guidance, frame: Frame) -> tuple[NoisySample, Conditions]:
    """Samples at the two fixed times."""
    clean = guidance.prior.encode(frame.render.rgb)
    conditions = guidance.conditioner(frame.views, frame.step)
    timestep = torch.tensor(TIMES)
    partner = guidance.partner(timestep, frame.step)
    return guidance.perturbation(clean, timestep, partner, conditions, frame), conditions


@pytest.mark.parametrize("parameterization", ["epsilon", "velocity", "sample", "flow"])
@pytest.mark.parametrize("name", sorted({*GUIDANCES.names()} - ELSEWHERE))
def test_a_rule_is_its_formula_whatever_the_denoiser_predicts(frame, views, name, parameterization):
    prior = Gaussians(Gaussians.Config(parameterization=parameterization))
    guidance, whole = guidance_of(prior, name), frame(IMAGE, views, STEP)
    sample, conditions = perturbed(guidance, whole)
    residual = guidance.residual(sample, conditions, whole)
    noise = guidance.perturbation.unit_noise(sample.clean.shape, whole).double()
    partners = guidance.partner(torch.tensor(TIMES), STEP)
    for item, time in enumerate(TIMES):
        partner = -1 if partners is None else int(partners[item])
        expected = slow_residual(Slow(prior), name, sample.clean[item].double(), noise[item], time, partner)
        assert torch.allclose(residual[item].double(), expected, rtol=1e-3, atol=2e-4 * float(expected.abs().max())), (
            item
        )


ROWS = {
    "score-distillation": 2,
    "image-space": 2,
    "classifier-score": 2,
    "noise-free": 3,
    "bridge": 2,
    "asynchronous": 3,
    "rectified-flow": 2,
    "delta-denoising": 2 + 2,
    "posterior": 2 + 2,
    "interval-score": 2 + 4,
    "inversion-score": 2 + 2 * 4,
}


@pytest.mark.parametrize(("name", "rows"), ROWS.items())
def test_no_row_of_the_denoiser_is_wasted(frame, views: Views, name: str, rows: int):
    prior = Gaussians(Gaussians.Config())
    options = {"unwanted": "", "unwanted_weight": Constant(0.0)} if name == "classifier-score" else {}
    options |= {"image_weight": Constant(0.0)} if name == "image-space" else {}
    guidance = guidance_of(
        prior, name, timesteps=TIMESTEPS.find("uniform").Config(min_fraction=Constant(0.5)), **options
    )
    guidance(frame(IMAGE, views, STEP))
    assert sum(prior.rows) == rows * len(views)
    assert prior.decoded == 0


def test_noise_free_asks_for_nothing_more_where_all_samples_are_nearly_clean(frame, views):
    prior = Gaussians(Gaussians.Config())
    timesteps = TIMESTEPS.find("uniform").Config(min_fraction=Constant(0.02), max_fraction=Constant(0.1))
    guidance_of(prior, "noise-free", timesteps=timesteps, low_fraction=0.2)(frame(IMAGE, views, STEP))
    assert prior.rows == [2 * len(views)]


def test_rectified_flow_revises_the_noise_with_one_more_row(frame, views):
    prior = Gaussians(Gaussians.Config(parameterization="flow", is_flow=True))
    guidance, whole = guidance_of(prior, "rectified-flow", revise=True), frame(IMAGE, views, STEP)
    sample, conditions = perturbed(guidance, whole)
    residual = guidance.residual(sample, conditions, whole)
    assert prior.rows == [2, 4]
    slow = Slow(prior)
    for item, time in enumerate(TIMES):
        clean, noise = sample.clean[item].double(), sample.noise[item].double()
        noisy = slow.mix(clean, noise, time)
        sigma = slow.shares(time)[1]
        direction = slow.eps(noisy, time, PROMPT) - slow.clean(noisy, time, PROMPT)
        noise = noise + (1.0 - sigma) * (direction + clean - noise)
        expected = slow_residual(slow, "rectified-flow", clean, noise, time, -1)
        assert torch.allclose(residual[item].double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_the_image_term_pulls_the_render_to_the_decoded_prediction(frame, views):
    prior = Gaussians(Gaussians.Config())
    guidance = guidance_of(prior, "image-space", image_weight=Constant(0.25))
    rgb = IMAGE.clone().requires_grad_()
    whole = frame(rgb, views, STEP)
    losses = guidance(whole).losses
    (gradient,) = torch.autograd.grad(losses["image"], rgb)
    assert prior.decoded == len(views)
    slow, time = Slow(prior), int(guidance.draw_timestep(2, STEP)[0])
    alpha, sigma = slow.shares(time)
    noise = guidance.perturbation.unit_noise(torch.Size([2, 3, 8, 8]), whole).double()
    for item in range(2):
        clean = prior.encode(IMAGE)[item].double()
        epsilon = slow.guided(slow.mix(clean, noise[item], time), time, 5.0)
        predicted = (slow.mix(clean, noise[item], time) - sigma * epsilon) / alpha
        image = (0.5 * predicted + 0.5).clamp(0.0, 1.0).permute(1, 2, 0)
        expected = 0.25 * sigma**2 * (alpha / sigma) * (IMAGE[item].double() - image) / IMAGE.numel()
        assert torch.allclose(gradient[item].double(), expected, rtol=1e-3, atol=1e-6)


def test_the_score_without_the_noise_subtracted_differs_by_the_noise_alone(frame, views):
    prior = Gaussians(Gaussians.Config())
    whole = frame(IMAGE, views, STEP)
    residuals = []
    for subtract in (True, False):
        guidance = guidance_of(prior, "score-distillation", subtract_noise=subtract)
        sample, conditions = perturbed(guidance, whole)
        residuals.append(guidance.residual(sample, conditions, whole))
    assert torch.allclose(residuals[1] - residuals[0], sample.noise, atol=1e-5)


@pytest.mark.parametrize("name", ["interval-score", "asynchronous"])
def test_rules_of_two_levels_say_so_where_there_is_one(frame, views, name):
    guidance, whole = guidance_of(Gaussians(Gaussians.Config()), name), frame(IMAGE, views, STEP)
    sample, conditions = perturbed(guidance, whole)
    alone = NoisySample(sample.clean, sample.noise, sample.noisy, sample.timestep)
    with pytest.raises(ValueError, match="compares two noise levels"):
        guidance.residual(alone, conditions, whole)


def test_the_interval_of_random_noise_is_looked_at_with_one_row_more(frame, views):
    prior = Gaussians(Gaussians.Config())
    guidance = guidance_of(prior, "interval-score", perturbation=PERTURBATIONS.find("random-noise").Config())
    guidance(frame(IMAGE, views, STEP))
    assert prior.rows == [4, 2]


@pytest.mark.parametrize("name", ["interval-score", "inversion-score"])
def test_an_inversion_may_begin_with_random_noise(frame, views, name):
    prior, asked = Gaussians(Gaussians.Config()), []
    predict = prior.predict
    prior.predict = lambda noisy, timestep, conditions: (
        asked.append((noisy, timestep)),
        predict(noisy, timestep, conditions),
    )[1]
    settings = SETTINGS[name]["perturbation"]
    guidance = guidance_of(prior, name, perturbation=dataclasses.replace(settings, start_fraction=0.2))
    perturbed(guidance, frame(IMAGE, views, STEP))
    first, level = asked[0]
    assert level.tolist() == [200, 200]
    alpha, sigma = prior.schedule.at(level)
    noise = (first - alpha * prior.encode(IMAGE)) / sigma
    assert noise.mean().item() == pytest.approx(0.0, abs=0.15) and noise.std().item() == pytest.approx(1.0, abs=0.15)
    assert [level[0].item() for _, level in asked] == sorted(level[0].item() for _, level in asked)


def test_an_asynchronous_level_is_above_the_timestep_and_near_it():
    guidance = guidance_of(Gaussians(Gaussians.Config()), "asynchronous", shift=Constant(0.1))
    timestep = torch.full((2000,), 500)
    partner = guidance.partner(timestep, STEP)
    assert partner.min() == 500 and partner.max() == 547
    assert partner.float().mean().item() == pytest.approx(523.5, abs=2.0)
    assert guidance.partner(torch.full((100,), 990), STEP).max() == 999
    assert guidance.partner(torch.full((100,), 15), STEP).tolist() == [15] * 100


def test_the_bridge_begins_with_score_distillation(frame, views):
    prior = Gaussians(Gaussians.Config())
    bridge, plain = guidance_of(prior, "bridge", start=0.5), guidance_of(prior, "score-distillation")
    for step, is_equal in ((StepInfo(49, 100), True), (StepInfo(50, 100), False)):
        whole = frame(IMAGE, views, step)
        sample, conditions = perturbed(plain, whole)
        residuals = [guidance.residual(sample, conditions, whole) for guidance in (bridge, plain)]
        assert torch.equal(*residuals) is is_equal


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("interval-score", {"perturbation": PERTURBATIONS.find("ddim-inversion").Config(num_steps=1)}, "two ends"),
        ("interval-score", {"interval_fraction": Constant(2.0)}, "interval_fraction"),
        ("classifier-score", {"unwanted_weight": Constant(1.0)}, "set `unwanted`"),
        ("noise-free", {"low_fraction": -0.1}, "low_fraction"),
        ("asynchronous", {"shift": Constant(-0.1)}, "shift"),
        ("asynchronous", {"shift_above": 1.0}, "shift_above"),
        ("bridge", {"start": 1.5}, "start"),
    ],
)
def test_impossible_settings_of_rules_are_refused(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        GUIDANCES.find(name).Config(**wrong)


def test_descending_each_rule_moves_an_image_to_what_the_prompt_names(frame, views):
    """CSD and the bridge have no end of their own: they only have to point away from the other prompt."""
    prior = Gaussians(Gaussians.Config())
    target = prior.decode(prior.mean(PROMPT)[None])[0]
    for name in sorted({*GUIDANCES.names()} - ELSEWHERE):
        guidance = guidance_of(prior, name, guidance_scale=Constant(1.0))
        rgb = torch.full((2, 8, 8, 3), 0.5, requires_grad=True)
        gradient = torch.zeros_like(rgb)
        for step in range(20):
            losses = guidance(frame(rgb, views, StepInfo(step, 100))).losses.values()
            gradient += torch.autograd.grad(torch.stack(list(losses)).sum(), rgb)[0]
        cosine = torch.nn.functional.cosine_similarity(-gradient.flatten(1), (target - rgb).detach().flatten(1))
        assert cosine.min() > 0.2, (name, cosine)
    assert math.isfinite(float(gradient.sum()))
