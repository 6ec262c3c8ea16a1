from __future__ import annotations

import pytest
import torch

from framework.core.errors import MissingBuffer
from framework.core.registries import COMBINATIONS, CONDITIONERS, TIMESTEPS, WEIGHTINGS
from framework.core.schedule import Constant, Ramp, Steps
from framework.core.step import StepInfo
from framework.guidance.combination import ClassifierFree
from framework.guidance.rules import score_distillation_residual
from framework.guidance.score_distillation import ScoreDistillation
from framework.structures.render_output import Buffer

STEP = StepInfo(7, 100)
IMAGE = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0))


def _guidance(prior, name="main", prompts="plain", **options):
    config = ScoreDistillation.Config(prompts=CONDITIONERS.find(prompts).Config(), **options)
    return ScoreDistillation(config, name=name, prior=prior, prompt="abc")


def _gradient(guidance, frame, rgb, views, step=STEP):
    rgb = rgb.clone().requires_grad_()
    (loss,) = guidance(frame(rgb, views, step)).losses.values()
    (gradient,) = torch.autograd.grad(loss, rgb)
    return gradient


def _at(fraction):
    return TIMESTEPS.find("uniform").Config(min_fraction=Constant(fraction), max_fraction=Constant(fraction))


def test_the_expected_gradient_is_the_closed_form(prior, frame, views):
    guidance = _guidance(prior, timesteps=_at(0.5))
    steps = 400
    mean = sum(_gradient(guidance, frame, IMAGE, views, StepInfo(step, steps)) for step in range(steps)) / steps
    alpha, sigma = (value.item() for value in prior.schedule.at(torch.tensor([500])))
    difference = 2.0 * (IMAGE - prior.truth(views))  # in samples, which span [-1, 1]
    expected = sigma**2 * sigma * alpha * difference / (alpha**2 * 0.2**2 + sigma**2)
    # d sample / d image = 2, and the loss is a mean.
    assert torch.allclose(
        mean, 2.0 * expected / IMAGE.numel(), atol=0.02 * expected.abs().max().item() / IMAGE.numel() * 2
    )


@pytest.mark.parametrize("parameterization", ["velocity", "sample", "flow"])
def test_the_gradient_does_not_depend_on_what_the_denoiser_predicts(prior, frame, views, parameterization):
    config = type(prior).Config(image_size=8, standard_deviation=0.2, parameterization=parameterization)
    other = type(prior)(config, device=torch.device("cpu"))
    expected = _gradient(_guidance(prior), frame, IMAGE, views)
    assert torch.allclose(_gradient(_guidance(other), frame, IMAGE, views), expected, rtol=1e-3, atol=1e-6)


def test_descending_it_in_two_dimensions_arrives_at_the_truth(prior, frame, views):
    guidance = _guidance(prior, preview_every=0)
    rgb = torch.full((2, 8, 8, 3), 0.5, requires_grad=True)
    optimizer = torch.optim.Adam([rgb], lr=0.02)
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1.0 - step / 400)
        optimizer.zero_grad()
        (loss,) = guidance(frame(rgb, views, StepInfo(step, 400))).losses.values()
        loss.backward()
        optimizer.step()
    assert (rgb - prior.truth(views)).square().mean().sqrt() < 0.02


def test_equal_steps_give_equal_gradients_and_others_differ(prior, frame, views):
    guidance = _guidance(prior, timesteps=_at(0.5))  # So that only the noise can differ.
    first = _gradient(guidance, frame, IMAGE, views)
    torch.rand(5)  # Draws elsewhere change nothing.
    assert torch.equal(_gradient(guidance, frame, IMAGE, views), first)
    assert not torch.equal(_gradient(guidance, frame, IMAGE, views, StepInfo(8, 100)), first)
    assert not torch.equal(_gradient(guidance, frame, IMAGE, views, StepInfo(7, 100, rank=1, ranks=2)), first)
    other = _guidance(prior, name="other", timesteps=_at(0.5))
    assert not torch.equal(_gradient(other, frame, IMAGE, views), first)


def test_timesteps_are_functions_of_step_and_name(prior):
    drawn = {
        (name, number): tuple(_guidance(prior, name=name).draw_timestep(8, StepInfo(number, 100)).tolist())
        for name in ("main", "other")
        for number in (7, 8)
    }
    assert len(set(drawn.values())) == 4
    assert tuple(_guidance(prior).draw_timestep(8, StepInfo(7, 100)).tolist()) == drawn["main", 7]


def test_it_leaves_the_global_generator_alone(prior, frame, views):
    state = torch.get_rng_state()
    _gradient(_guidance(prior), frame, IMAGE, views)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_of_two_is_two_batches_of_one(counting_prior, frame, views):
    guidance = _guidance(counting_prior, prompts="view-dependent")
    clean = counting_prior.encode(IMAGE)
    whole = frame(IMAGE, views, STEP)
    conditions = guidance.conditioner(views, STEP)
    sample = guidance.perturb(clean, conditions, whole)
    together = guidance.residual(sample, conditions, whole)
    for item in range(2):
        alone = guidance.conditioner(views[item], STEP)
        part = frame(IMAGE[[item]], views[item], STEP)
        assert torch.allclose(together[[item]], guidance.residual(sample[item], alone, part), atol=1e-5)


def test_the_gradient_of_one_image_does_not_depend_on_the_number_of_pixels_it_is_rendered_with(prior, frame, views):
    guidance = _guidance(prior)
    large = IMAGE.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    small_gradient = _gradient(guidance, frame, IMAGE, views)
    large_gradient = _gradient(guidance, frame, large, views)
    pooled = large_gradient.unflatten(1, (8, 2)).unflatten(3, (8, 2)).sum((2, 4))
    assert torch.allclose(pooled, small_gradient, atol=1e-6)


def test_the_scale_multiplies_the_difference_to_the_unconditional_prediction(counting_prior, frame, views):
    gradients = [
        _gradient(_guidance(counting_prior, guidance_scale=Constant(scale)), frame, IMAGE, views)
        for scale in (0.0, 1.0, 5.0)
    ]
    difference = gradients[1] - gradients[0]
    assert torch.allclose(gradients[2], gradients[0] + 5.0 * difference, atol=1e-6)
    assert difference.abs().min() > 0.0


def test_without_guidance_the_unconditional_prediction_is_not_evaluated(counting_prior, frame, views):
    schedule = Steps(((0, 1.0), (10, 7.5)))
    guidance = _guidance(counting_prior, guidance_scale=schedule, preview_every=0)
    _gradient(guidance, frame, IMAGE, views, StepInfo(9, 100))
    _gradient(guidance, frame, IMAGE, views, StepInfo(10, 100))
    assert counting_prior.evaluated == [1, 2]


def test_nothing_is_decoded_but_for_the_previews_that_are_due(counting_prior, frame, views):
    guidance = _guidance(counting_prior, preview_every=5)
    outputs = [guidance(frame(IMAGE, views, StepInfo(step, 100))) for step in range(11)]
    assert counting_prior.decoded == 3
    assert [step for step, output in enumerate(outputs) if output.previews] == [0, 5, 10]
    assert outputs[0].previews["predicted"].shape == (2, 8, 8, 3)


def test_the_preview_shows_what_the_prior_takes_the_image_for(prior, frame, views):
    guidance = _guidance(prior, preview_every=1, timesteps=_at(0.98))
    preview = guidance(frame(torch.zeros(2, 8, 8, 3), views, STEP)).previews["predicted"]
    assert torch.allclose(preview, prior.truth(views), atol=0.05)


def test_large_residuals_are_cut_where_asked_for(prior, frame, views):
    free = _gradient(_guidance(prior), frame, IMAGE, views)
    cut = _gradient(_guidance(prior, gradient_clip=Constant(0.01)), frame, IMAGE, views)
    limit = 2.0 * 0.01 / IMAGE.numel()
    assert free.abs().max() > limit
    assert torch.allclose(cut, free.clamp(-limit, limit))


def test_normals_are_shown_as_colours(prior, frame, views):
    guidance = _guidance(prior, buffer="normal")
    normal = (2.0 * prior.truth(views) - 1.0).requires_grad_()
    assert guidance.needs == frozenset({Buffer.NORMAL})
    clean = guidance.clean_sample(frame(torch.zeros(2, 8, 8, 3), views, STEP, normal).render, STEP)
    assert torch.allclose(clean, prior.encode(prior.truth(views)), atol=1e-6)
    assert clean.requires_grad


def test_normals_take_the_place_of_colours_in_a_share_of_the_steps(prior, frame, views):
    guidance = _guidance(prior, normal_probability=Ramp("linear", 0.0, 1.0, between=(0.0, 200.0)))
    normal = 2.0 * prior.truth(views) - 1.0
    assert guidance.needs == frozenset({Buffer.RGB, Buffer.NORMAL})
    shown = []
    for index in range(200):
        step = StepInfo(index, 200)
        clean = guidance.clean_sample(frame(torch.zeros(2, 8, 8, 3), views, step, normal).render, step)
        shown.append(bool(clean.max() > -1.0 + 1e-6))
    assert shown[0] is False and sum(shown[:50]) < 20 and sum(shown[150:]) > 35
    with pytest.raises(ValueError, match="normal_probability needs buffer: rgb, got 'normal'"):
        ScoreDistillation.Config(buffer="normal", normal_probability=Constant(0.5))


def test_a_missing_buffer_names_the_guidance(prior, frame, views):
    with pytest.raises(MissingBuffer, match="guidance 'main': needs 'normal'"):
        _guidance(prior, buffer="normal")(frame(torch.zeros(2, 8, 8, 3), views, STEP))


def test_half_precision_around_it_changes_nothing(prior, frame, views):
    expected = _gradient(_guidance(prior), frame, IMAGE, views)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(_gradient(_guidance(prior), frame, IMAGE, views), expected)


def test_a_broken_prediction_is_not_hidden(prior, frame, views):
    guidance = _guidance(prior)
    (loss,) = guidance(frame(torch.full((2, 8, 8, 3), torch.nan), views, STEP)).losses.values()
    assert torch.isnan(loss)


def test_it_has_no_parameters_and_no_state(prior):
    guidance = _guidance(prior)
    assert not list(guidance.parameters())
    assert not guidance.state_dict()


def test_the_rule_is_a_function_that_needs_no_guidance(prior, views):
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.rand(2, 2, 3, 8, 8, generator=generator).unbind(0)
    sample = prior.schedule.add_noise(clean, noise, torch.tensor([300, 700]))
    conditions = CONDITIONERS.build(CONDITIONERS.find("plain").Config(), prior=prior, prompt="x")(views, STEP)
    combination = ClassifierFree(ClassifierFree.Config())
    residual = score_distillation_residual(prior, sample, conditions, combination, 3.0)
    expected = prior.predict(sample.noisy, sample.timestep, conditions).epsilon[0] - noise
    assert torch.allclose(residual, expected, atol=1e-6)


def test_defaults_build(prior):
    guidance = ScoreDistillation(ScoreDistillation.Config(), name="main", prior=prior, prompt="x")
    parts = [(CONDITIONERS, "prompts"), (TIMESTEPS, "timesteps"), (WEIGHTINGS, "weighting")]
    names = [registry.name_of(getattr(guidance.config, field)) for registry, field in parts]
    assert names == ["view-dependent", "uniform", "dreamfusion"]
    assert COMBINATIONS.name_of(guidance.config.combination) == "classifier-free"


@pytest.mark.parametrize("wrong", [{"preview_every": -1}, {"gradient_clip": Constant(0.0)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        ScoreDistillation.Config(**wrong)


@pytest.mark.parametrize(("scale", "warnings"), [(7.5, 1), (1.0, 0)])
def test_guiding_what_is_guided_already_is_warned_about(prior, monkeypatch, caplog, scale, warnings):
    monkeypatch.setattr(type(prior), "is_guidance_distilled", True)
    _guidance(prior, guidance_scale=Constant(scale))
    assert len(caplog.records) == warnings
