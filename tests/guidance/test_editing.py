"""Rules that edit, beside slow ones in double precision, written from the papers; and where they end."""

from __future__ import annotations

import pytest
import torch
from gaussians import Gaussians
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import CONDITIONERS, GUIDANCES, SOURCES, TIMESTEPS
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.guidance.source import Source

STEP = StepInfo(7, 100)
IMAGE = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))
TIMES, SCALE = (300, 700), 5.0
PROMPT, SHOWN = "a red cube", "a sphere"
SOURCE = SOURCES.find("toybox-scene").Config(prompt=SHOWN)
RULES = ["delta-denoising", "posterior"]


class Slow:
    """The Gaussian prior of one prompt and one sample at a time, in double precision, in the papers' notation."""

    def __init__(self, prior: Gaussians) -> None:
        self.prior = prior
        self.alpha_bar = prior.schedule.alphas.double() ** 2

    def noisy(self, clean: Tensor, noise: Tensor, time: int) -> Tensor:
        return self.alpha_bar[time].sqrt() * clean + (1.0 - self.alpha_bar[time]).sqrt() * noise

    def eps(self, noisy: Tensor, time: int, prompt: str) -> Tensor:
        alpha_bar = self.alpha_bar[time]
        away = noisy - alpha_bar.sqrt() * self.prior.mean(prompt).double()
        return (1.0 - alpha_bar).sqrt() * away / (alpha_bar * self.prior.config.deviation**2 + 1.0 - alpha_bar)

    def guided(self, noisy: Tensor, time: int, prompt: str) -> Tensor:
        none = self.eps(noisy, time, "")
        return none + SCALE * (self.eps(noisy, time, prompt) - none)

    def stochastic_latent(self, clean: Tensor, noises: tuple[Tensor, Tensor], time: int, stride: int, prompt: str):
        """z of PDS, equations 5 to 8: the noise of the step from `time` to the level before it."""
        before = time - stride
        here, there = self.alpha_bar[time], self.alpha_bar[before]
        beta = 1.0 - here / self.alpha_bar[time - 1]
        noisy = self.noisy(clean, noises[0], time)
        predicted = (noisy - (1.0 - here).sqrt() * self.guided(noisy, time, prompt)) / here.sqrt()
        gamma = there.sqrt() * beta / (1.0 - here)
        delta = (1.0 - beta).sqrt() * (1.0 - there) / (1.0 - here)
        deviation = ((1.0 - there) / (1.0 - here) * beta).sqrt()
        return (self.noisy(clean, noises[1], before) - gamma * predicted - delta * noisy) / deviation


def guidance_of(prior: Gaussians, name: str, **options):
    plain = CONDITIONERS.find("plain").Config()
    settings = {"source_image": SOURCE, "prompts": plain, "guidance_scale": Constant(SCALE), "preview_every": 0}
    config = GUIDANCES.find(name).Config(**settings | options)
    return GUIDANCES.build(config, name="main", prior=prior, prompt=PROMPT)


def residual_of(guidance, whole, times=TIMES) -> tuple[Tensor, Tensor, Tensor]:
    """The residual at the given times, with the clean samples and the noise."""
    clean = guidance.prior.encode(whole.render.rgb)
    conditions = guidance.conditioner(whole.views, STEP)
    sample = guidance.perturbation(clean, torch.tensor(times), None, conditions, whole)
    return guidance.residual(sample, conditions, whole), clean.double(), sample.noise.double()


def source_of(guidance, whole) -> Tensor:
    return guidance.prior.encode(guidance.source_image.images(whole.views))


@pytest.mark.parametrize("parameterization", ["epsilon", "velocity", "sample", "flow"])
def test_delta_denoising_is_the_difference_of_two_guided_predictions(frame, views, parameterization):
    prior = Gaussians(Gaussians.Config(parameterization=parameterization))
    guidance, whole = guidance_of(prior, "delta-denoising"), frame(IMAGE, views, STEP)
    residual, clean, noise = residual_of(guidance, whole)
    source, slow = source_of(guidance, whole).double(), Slow(prior)
    for item, time in enumerate(TIMES):
        edited = slow.guided(slow.noisy(clean[item], noise[item], time), time, PROMPT)
        before = slow.guided(slow.noisy(source[item], noise[item], time), time, SHOWN)
        assert torch.allclose(residual[item].double(), edited - before, rtol=1e-3, atol=1e-4), item


@pytest.mark.parametrize("stride", [1, 2, 20])
@pytest.mark.parametrize("parameterization", ["epsilon", "velocity", "sample", "flow"])
def test_posterior_distillation_is_the_difference_of_the_stochastic_latents(frame, views, parameterization, stride):
    """Whatever the noise of the level before, as long as both have it."""
    prior = Gaussians(Gaussians.Config(parameterization=parameterization))
    guidance, whole = guidance_of(prior, "posterior", stride=stride), frame(IMAGE, views, STEP)
    residual, clean, noise = residual_of(guidance, whole)
    source, slow = source_of(guidance, whole).double(), Slow(prior)
    other = torch.randn(noise.shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    for item, time in enumerate(TIMES):
        noises = (noise[item], other[item])
        edited = slow.stochastic_latent(clean[item], noises, time, stride, PROMPT)
        before = slow.stochastic_latent(source[item], noises, time, stride, SHOWN)
        expected = edited - before
        assert torch.allclose(residual[item].double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_an_edit_asks_for_nothing_where_the_prompts_agree_and_the_render_is_the_source(frame, views):
    for name in RULES:
        prior = Gaussians(Gaussians.Config())
        guidance = guidance_of(prior, name, source_image=SOURCES.find("toybox-scene").Config(prompt="a red cube"))
        whole = frame(guidance.source_image.images(views), views, STEP)
        assert residual_of(guidance, whole)[0].abs().max() < 1e-4


def test_with_a_stride_of_one_posterior_distillation_is_delta_denoising_with_other_weights(frame, views):
    prior = Gaussians(Gaussians.Config())
    whole = frame(IMAGE, views, STEP)
    delta = residual_of(guidance_of(prior, "delta-denoising"), whole)[0]
    for stride, is_same in ((1, True), (2, False)):
        posterior = residual_of(guidance_of(prior, "posterior", stride=stride), whole)[0]
        cosine = torch.nn.functional.cosine_similarity(posterior.flatten(1), delta.flatten(1))
        assert (cosine > 0.9999).all().item() if is_same else (cosine < 0.999).any().item(), (stride, cosine)


def test_on_gaussians_delta_denoising_moves_the_source_by_what_sets_the_prompts_apart(frame, views):
    """eps(x_t) - eps(source_t) vanishes where x - source is the difference of the means; PDS stops on the way there."""
    prior = Gaussians(Gaussians.Config())
    wanted = prior.mean(PROMPT) - prior.mean(SHOWN)
    for name, least, most in (("delta-denoising", 0.99, 1.01), ("posterior", 0.05, 0.95)):
        guidance = guidance_of(prior, name, guidance_scale=Constant(1.0))
        moved = torch.zeros(2, 3, 8, 8)
        whole = frame(IMAGE, views, STEP)
        source, conditions = source_of(guidance, whole), guidance.conditioner(views, STEP)
        for _ in range(200):
            sample = guidance.perturbation(source + moved, torch.tensor(TIMES), None, conditions, whole)
            moved -= 0.5 * guidance.residual(sample, conditions, whole)
        share = (moved * wanted).sum(dim=(1, 2, 3)) / (wanted * wanted).sum()
        assert torch.allclose(moved, share[:, None, None, None] * wanted, atol=1e-2), name
        assert least < share.min() and share.max() < most, (name, share)


def test_levels_of_posterior_distillation_have_one_before_them(frame, views):
    uniform = TIMESTEPS.find("uniform").Config(min_fraction=Constant(0.0), max_fraction=Constant(0.001))
    guidance = guidance_of(Gaussians(Gaussians.Config()), "posterior", timesteps=uniform, stride=3)
    assert (guidance.draw_timestep(50, STEP) == 3).all()
    rgb = IMAGE.clone().requires_grad_()
    loss = guidance(frame(rgb, views, STEP)).losses["distillation"]
    (gradient,) = torch.autograd.grad(loss, rgb)
    assert gradient.isfinite().all() and gradient.any()


def test_a_stride_of_no_timestep_is_refused():
    with pytest.raises(ValueError, match="stride: expected at least 1"):
        GUIDANCES.find("posterior").Config(source_image=SOURCE, stride=0)


def test_a_source_that_nobody_would_look_at_is_refused():
    prior = Gaussians(Gaussians.Config())
    with pytest.raises(
        UserError, match=r"source_image: names an image that this prior cannot be shown.*InstructPix2Pix"
    ):
        guidance_of(prior, "score-distillation")
    assert isinstance(guidance_of(prior, "delta-denoising").source_image, Source)
