"""Whether a text-to-image prior with its published weights does what its family says: four checks, each with its figures.

1. weights: every tensor of the checkpoint has its place, and no place is empty;
2. sampling: two steps end where diffusers' own pipeline ends from the same noise;
3. captions: noise on pictures is told better by their own captions than by those of others;
4. distillation: 50 steps of SDS make an image that the prompt explains better than it explained the start.

Errors are those of the predicted noise, in units of what the best linear guess would leave that knows only mean and
variance of the samples: below 1 the model knows more about pictures than that.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.progress import track
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.flux import Flux
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.reference import SamplingPlan, reference_sample, timesteps_of
from framework.diffusion.families.strict import components_with_weights, load_strictly
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prior import Prior
from framework.diffusion.sampling import guided_prediction, prompt_conditions
from framework.guidance.library import SDS
from framework.structures.views import Views
from framework.systems.images import write_png
from framework.systems.prior_samples import true_renders, untold_light
from framework.toybox.captions import caption, parse_scene, view_words
from framework.toybox.views import ViewDistribution

log = logging.getLogger(__name__)

CHECKS = ("weights", "sampling", "captions", "distillation")
CAPTIONS = ("a red cube", "a blue sphere", "a green chair", "a snowman", "a yellow mushroom", "an orange car")
FRACTIONS = (0.3, 0.5, 0.7, 0.85)
"""Timesteps that are looked at, as shares of the schedule: those at which a caption tells something."""
SEEN_FROM = ViewDistribution(high_elevation_share=0.0, albedo_share=0.0, neutral_background_share=1.0)
GUIDANCE_SCALE = 3.0
"""Of the two sampling steps."""
TOLERANCES = {torch.float32: 1e-3, torch.float16: 1e-1, torch.bfloat16: 5e-1}
"""Largest difference between two samples, in units of their root mean square, that rounding may make in a precision."""
DISTILLED_PROMPT = "a red cube"
DISTILLATION_SCALE = 15.0
NUM_STEPS = 50
LEARNING_RATES = {"pixel": 0.03, "latent": 0.05}
NUM_NAMED = 8


@dataclass(frozen=True)
class Check:
    """What came of one check.

    Attributes:
        name: One of `CHECKS`.
        passed: Whether it did; None if it does not apply to the model.
        summary: The figures that matter in one line, or why it failed.
        seconds: How long it took.
        figures: All of them.
    """

    name: str
    passed: bool | None
    summary: str
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)


def verify(
    folder: ModelFolder,
    load: Callable[[], ModelPrior],
    *,
    dtype: torch.dtype,
    device: torch.device,
    picture: Path,
    seed: int = 0,
) -> list[Check]:
    """All checks of a model, in the order of `CHECKS`; one that fails does not keep those after it from being made.

    Only one copy of the denoiser is in memory at any time.

    Args:
        folder: Where the model lies.
        load: Loads the prior on `device`.
        dtype: The precision of its denoiser.
        picture: Where the result of the distillation is written.
        seed: Of all draws.
    """
    checks = {"weights": attempt("weights", lambda: check_weights(folder, dtype=dtype))}
    try:
        prior = load()
    except UserError as error:
        return [checks["weights"], *(Check(name, False, f"the model cannot be loaded: {error}") for name in CHECKS[1:])]
    if prior.traits.takes_image:
        reason = "not applicable, since the model wants an image beside the prompt"
        return [checks["weights"], *(Check(name, None, reason) for name in CHECKS[1:])]
    own: list[tuple[SamplingPlan, Tensor]] = []

    def sample() -> Check:
        plan = sampling_plan(prior, dtype=dtype, seed=seed)
        own.append((plan, own_sample(prior, plan, timesteps_of(folder.read("scheduler", "scheduler_config.json")))))
        return Check("sampling", None, "")

    sampled = attempt("sampling", sample)
    checks["captions"] = attempt("captions", lambda: check_captions(prior, seed=seed))
    checks["distillation"] = attempt("distillation", lambda: check_distillation(prior, picture, seed=seed))
    del prior
    gc.collect()
    checks["sampling"] = sampled
    if own:
        found = attempt("sampling", lambda: check_sampling(folder, *own[0], dtype=dtype, device=device))
        checks["sampling"] = dataclasses.replace(found, seconds=round(sampled.seconds + found.seconds, 2))
    return [checks[name] for name in CHECKS]


def attempt(name: str, check: Callable[[], Check]) -> Check:
    """What a check found, with the time that it took; an error is a failure."""
    started = time.perf_counter()
    try:
        found = check()
    except Exception as error:  # Of any library: it is what the user wants to know of this model.
        log.debug("The cause in full:", exc_info=True)
        cause = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        found = Check(name, False, " ".join(cause.split()))
    return dataclasses.replace(found, seconds=round(time.perf_counter() - started, 2))


def check_weights(folder: ModelFolder, *, dtype: torch.dtype) -> Check:
    """Every tensor in the files is used, and the model has none beside."""
    names = components_with_weights(folder)
    bar = track(names, description="Loading every component strictly", transient=True)
    loaded = [load_strictly(folder, name, dtype=dtype) for name in bar]
    figures = {item.component: dataclasses.asdict(item) for item in loaded}
    faults = [
        f"{item.component}: {len(listed)} {word} ({_named(listed)})"
        for item in loaded
        for word, listed in (("missing", item.missing), ("left over", item.unexpected))
        if listed
    ]
    if faults:
        return Check("weights", False, "; ".join(faults), figures=figures)
    tensors, values = sum(item.tensors for item in loaded), sum(item.values for item in loaded)
    summary = f"{tensors} tensors, {values:,} values, none missing, none left over"
    return Check("weights", True, summary, figures=figures)


def sampling_plan(prior: ModelPrior, *, dtype: torch.dtype, seed: int) -> SamplingPlan:
    """What the prior and diffusers' pipeline both start from."""
    model, shape = prior.model, prior.sample_shape
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype).float()
    return SamplingPlan(
        CAPTIONS[0],
        1.0 if model.is_guidance_distilled else GUIDANCE_SCALE,
        model.embedded_guidance_scale,
        model.t5.max_length if isinstance(model, Flux) else None,
        image_size(prior),
        noise,
    )


@torch.no_grad()
def own_sample(prior: Prior, plan: SamplingPlan, timesteps: Sequence[int]) -> Float[Tensor, "1 C h w"]:
    """The clean sample that the prior arrives at in these steps, on the CPU."""
    conditions = prompt_conditions(prior, [plan.prompt])
    x_t = plan.noise.to(prior.device)
    for index, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        guided = guided_prediction(prior, x_t, _timestep(prior, index), conditions, plan.guidance_scale)
        if following is None:
            return guided.sample.cpu()
        alpha, sigma = prior.schedule.at(_timestep(prior, following))
        x_t = alpha * guided.sample + sigma * guided.epsilon
    raise ValueError("Sampling needs at least one step.")


def check_sampling(
    folder: ModelFolder,
    plan: SamplingPlan,
    ours: Float[Tensor, "1 C h w"],
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> Check:
    """Two steps end where diffusers' pipeline ends, but for what rounding may do."""
    theirs = reference_sample(folder, plan, dtype=dtype, device=device)
    if ours.shape != theirs.shape:
        shapes = f"{tuple(ours.shape)} and {tuple(theirs.shape)}"
        return Check("sampling", False, f"the samples of the prior and of diffusers have the shapes {shapes}")
    difference, size = (ours - theirs).abs().max().item(), theirs.square().mean().sqrt().item()
    tolerance = TOLERANCES[dtype] * size
    is_equal = torch.equal(ours, theirs)
    figures = {
        "pipeline": folder.index["_class_name"],
        "max_abs_difference": difference,
        "tolerance": tolerance,
        "root_mean_square": size,
        "bit_equal": is_equal,
        "guidance_scale": plan.guidance_scale,
    }
    precision = str(dtype).removeprefix("torch.")
    summary = f"largest difference {difference:.3g}, {tolerance:.3g} is allowed in {precision}"
    passed = difference <= tolerance
    return Check("sampling", passed, "bit-equal" if is_equal else summary, figures=figures)


@torch.no_grad()
def check_captions(prior: Prior, *, seed: int) -> Check:
    """The noise on pictures is predicted better under their own captions than under those of other pictures."""
    generator = torch.Generator().manual_seed(seed)
    specs = [parse_scene(text) for text in CAPTIONS]
    views = SEEN_FROM.sample(len(specs), size=min(image_size(prior)), generator=generator)
    words = [
        view_words(azimuth, elevation)
        for azimuth, elevation in zip(views.azimuth.tolist(), views.elevation.tolist(), strict=True)
    ]
    right = [caption(dataclasses.replace(spec, view=view)) for spec, view in zip(specs, words, strict=True)]
    wrong = [
        caption(dataclasses.replace(spec, view=view))  # the same side, another object
        for spec, view in zip([*specs[1:], specs[0]], words, strict=True)
    ]
    images = true_renders(specs, views, generator).rgb.to(prior.device)
    told = untold_light(views).to(prior.device) if prior.takes_camera else None
    clean = torch.cat([prior.encode(image[None]).float() for image in images])
    errors = relative_errors(prior, clean, list(zip(right, wrong, strict=True)), told, seed=seed)  # (2, N, T)
    means = errors.mean(dim=(1, 2)).tolist()
    is_informed = prior.is_guidance_distilled or means[0] < 1.0
    figures = {
        "right": means[0],
        "wrong": means[1],
        "pairs_right_is_lower": (errors[0] < errors[1]).float().mean().item(),
        "by_timestep": [
            {"timestep": index, "right": each[0], "wrong": each[1]}
            for index, each in zip(_indices(prior), errors.mean(dim=1).T.tolist(), strict=True)
        ],
        "captions": right,
    }
    summary = f"error {means[0]:.3f} with the right caption, {means[1]:.3f} with a wrong one"
    if not is_informed:
        summary += "; a guess without a model has 1, so the output does not mean what the scheduler's config says"
    return Check("captions", is_informed and means[0] < means[1], summary, figures=figures)


def check_distillation(prior: Prior, picture: Path, *, seed: int) -> Check:
    """SDS from gray pixels, or latents of zero, leads to an image that its prompt explains; it is written to `picture`."""
    is_latent = prior.space == "latent"
    channels, height, width = prior.sample_shape
    shape = (1, height, width, channels) if is_latent else (1, *image_size(prior), 3)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    canvas = ((0.0 if is_latent else 0.5) + 0.1 * noise).to(prior.device).requires_grad_()
    scale = 1.0 if prior.is_guidance_distilled else DISTILLATION_SCALE
    buffer = "latent" if is_latent else "rgb"
    rule = SDS(prior, DISTILLED_PROMPT, max_steps=NUM_STEPS, seed=seed, guidance_scale=scale, buffer=buffer)
    optimizer = torch.optim.Adam([canvas], lr=LEARNING_RATES[prior.space])
    start = evidence(prior, canvas, seed=seed)
    for _ in track(range(NUM_STEPS), description="Distilling an image", transient=True):
        optimizer.zero_grad(set_to_none=True)
        rule.loss(canvas).backward()
        optimizer.step()
        if not is_latent:
            with torch.no_grad():
                canvas.clamp_(0.0, 1.0)
    end = evidence(prior, canvas, seed=seed)
    with torch.no_grad():
        image = prior.decode(canvas.permute(0, 3, 1, 2)) if is_latent else canvas
    write_png(picture, image[0].clamp(0.0, 1.0).cpu())
    figures = {
        "prompt": DISTILLED_PROMPT,
        "guidance_scale": scale,
        "steps": NUM_STEPS,
        "start": start,
        "end": end,
        "picture": picture.name,
    }
    passed = bool(torch.isfinite(canvas).all()) and end["evidence"] > start["evidence"]
    summary = (
        f"evidence for the prompt {start['evidence']:.4f} at the start, {end['evidence']:.4f} after {NUM_STEPS} steps"
    )
    return Check("distillation", passed, summary, figures=figures)


@torch.no_grad()
def evidence(prior: Prior, canvas: Float[Tensor, "1 H W C"], *, seed: int) -> dict[str, float]:
    """By how much the noise on an image is predicted better under the prompt than without one.

    It is what a diffusion model as a classifier goes by (arXiv:2303.16203), and what guidance strengthens.
    """
    clean = canvas.permute(0, 3, 1, 2) if prior.space == "latent" else prior.encode(canvas)
    repeated = clean.float().repeat(len(CAPTIONS), 1, 1, 1)  # as many draws of the noise
    pairs = [(DISTILLED_PROMPT, "")] * len(CAPTIONS)
    prompted, unprompted = (
        relative_errors(prior, repeated, pairs, None, seed=seed, variance=1.0).mean(dim=(1, 2)).tolist()
    )
    return {"evidence": unprompted - prompted, "error_with_prompt": prompted, "error_without": unprompted}


def relative_errors(
    prior: Prior,
    clean: Float[Tensor, "N C h w"],
    pairs: Sequence[tuple[str, str]],
    views: Views | None,
    *,
    seed: int,
    variance: float | None = None,
) -> Float[Tensor, "2 N T"]:
    """Mean square errors of the predicted noise under both captions of each sample, at every timestep of `FRACTIONS`.

    They are in units of those of the best linear guess of samples with one mean and variance, alpha^2 s^2 / (alpha^2 s^2 +
    sigma^2). Both captions meet the same noise.

    Args:
        views: What a prior that knows cameras is told.
        variance: s^2; by default that of the samples.
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    text = prior.encode_text(texts)
    spread = clean.var().item() if variance is None else variance
    generator = torch.Generator().manual_seed(seed)
    errors = torch.zeros(2, len(clean), len(FRACTIONS))
    for row in track(range(len(clean)), description="Predicting noise under captions", transient=True):
        index = torch.tensor([[texts.index(part)] for part in pairs[row]], device=prior.device)
        ones = torch.ones(2, 1, device=prior.device)
        told = None if views is None else views[[row]]
        conditions = Conditions(text[index], ones, told, None if told is None else ones.bool())
        for column, timestep in enumerate(_indices(prior)):
            noise = torch.randn(clean[row].shape, generator=generator)[None].to(prior.device)
            sample = prior.schedule.add_noise(clean[[row]], noise, _timestep(prior, timestep))
            prediction = prior.predict(sample.noisy, sample.timestep, conditions)
            alpha, sigma = prior.schedule.at(sample.timestep)
            guess = alpha**2 * spread / (alpha**2 * spread + sigma**2)
            error = (prediction.epsilon - noise).square().mean(dim=(1, 2, 3, 4)) / guess.squeeze()
            errors[:, row, column] = error.cpu()
    return errors


def image_size(prior: Prior) -> tuple[int, int]:
    """Height and width of the prior's images, pixels."""
    if isinstance(prior, ModelPrior) and isinstance(prior.model.codec, LatentCodec):
        return prior.model.codec.image_size
    return prior.sample_shape[1], prior.sample_shape[2]


def _indices(prior: Prior) -> list[int]:
    return [int(fraction * len(prior.schedule)) for fraction in FRACTIONS]


def _timestep(prior: Prior, index: int) -> Int[Tensor, "1"]:
    return torch.full((1,), index, device=prior.device)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more
