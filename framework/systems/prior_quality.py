"""What samples of a text-to-image prior of the toybox are worth: right, by two ways to tell, and not learnt by heart.

Single objects and relations are reported apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from framework.diffusion.prior import Prior
from framework.systems.prior_samples import (
    FEW_STEPS,
    random_views,
    samples_of,
    trained_specs,
    true_renders,
    untold_light,
)
from framework.toybox.batches import ToyDraw
from framework.toybox.captions import parse_scene
from framework.toybox.evaluation.identity import is_same_shape
from framework.toybox.evaluation.memorizing import Drawn, memorizing
from framework.toybox.evaluation.recognition import nearest_scene
from framework.toybox.families import RELATIONS
from framework.toybox.judge.network import SIZE, Opinion
from framework.toybox.judge.weights import load_judge
from framework.toybox.scenes import SceneSpec
from framework.toybox.splits import prompt_lists
from framework.toybox.views import ViewDistribution

HELD_OUT_LISTS = ("test-pair", "test-toy")
JUDGED_FROM = ViewDistribution(high_elevation_share=0.0)
"""Views that the judge knows."""


@dataclass(kw_only=True, frozen=True)
class JudgingConfig:
    """Samples that the judge is shown when the model is exported."""

    prompts: int = 300
    """Trained prompts, beside which all of test-pair and test-toy are shown; 0 shows nothing."""
    views: int = 4
    """Samples of each prompt, from cameras on all sides, over which the judge's opinion is averaged."""

    def __post_init__(self) -> None:
        if self.prompts < 0 or self.views < 1:
            raise ValueError(f"prompts must not be negative and views positive, got {self.prompts} and {self.views}.")


@dataclass(kw_only=True, frozen=True)
class MemorizingConfig:
    """Samples that are compared with training images when the model is exported."""

    samples: int = 64
    """Samples, each of another trained prompt; 0 compares nothing."""
    images: int = 2**18
    """Training images that are searched, and as many that were not trained on."""

    def __post_init__(self) -> None:
        if self.samples < 0 or self.images < 1:
            raise ValueError(f"samples must not be negative and images positive, got {self.samples} and {self.images}.")


def right_objects(
    prior: Prior, *, count: int, generator: torch.Generator, guidance_scale: float, num_steps: int = 30
) -> dict[str, Any]:
    """Sample trained prompts, each from a camera that the prior is told, and count the right objects.

    Args:
        prior: A pixel-space prior of toybox images that takes cameras.
        count: Number of prompts.
        generator: On the CPU; the source of all draws.
        guidance_scale, num_steps: Of the sampling (see `sampling.sample`).

    Returns:
        The shares of samples whose nearest true render is of the named scene (see `recognition.nearest_scene`), for all
        prompts and for single objects and relations apart (None if there are none), and how this was measured.
    """
    started = time.perf_counter()
    specs = trained_specs(count)
    views = random_views(count, prior.sample_shape[-1], generator)
    images = samples_of(prior, specs, views, guidance_scale=guidance_scale, num_steps=num_steps, generator=generator)
    is_right = []
    for row in track(range(count), description="Comparing samples with true renders", transient=True):
        nearest = nearest_scene(images[row], views[[row]], specs[row], generator=generator)
        is_right.append(is_same_shape(nearest, specs[row]))
    is_single = [spec.relation is None for spec in specs]
    return {
        "right": _share(is_right),
        "right_single": _share([right for right, single in zip(is_right, is_single, strict=True) if single]),
        "right_relation": _share([right for right, single in zip(is_right, is_single, strict=True) if not single]),
        "prompts": count,
        "guidance_scale": guidance_scale,
        "num_steps": num_steps,
        "seconds": _seconds_since(started),
    }


def judged_samples(
    prior: Prior,
    config: JudgingConfig,
    *,
    generator: torch.Generator,
    guidance_scale: float,
    num_steps: int = FEW_STEPS,
) -> dict[str, Any]:
    """What the bundled judge makes of samples of trained and of held-out prompts.

    Args:
        prior: A pixel-space prior of toybox images that takes cameras.
        config: How many.
        generator: On the CPU; the source of all draws.
        guidance_scale, num_steps: Of the sampling (see `sampling.sample`).

    Returns:
        How this was measured, and for each list of prompts, for single objects and for relations, what `_shares` says.
    """
    started = time.perf_counter()
    lists = {"train": trained_specs(config.prompts)}
    lists |= {name: [parse_scene(prompt) for prompt in prompt_lists()[name]] for name in HELD_OUT_LISTS}
    specs = [spec for listed in lists.values() for spec in listed]
    repeated = [spec for spec in specs for _ in range(config.views)]
    views = JUDGED_FROM.sample(len(repeated), size=prior.sample_shape[-1], generator=generator)
    images = samples_of(
        prior,
        repeated,
        untold_light(views),
        guidance_scale=guidance_scale,
        num_steps=num_steps,
        generator=generator,
    )
    verdicts = []
    for number, spec in enumerate(track(specs, description="Showing samples to the judge", transient=True)):
        rows = slice(number * config.views, (number + 1) * config.views)
        true = true_renders(repeated[rows], views[rows], generator).rgb
        verdicts.append(_Verdict.of(spec, images[rows], true))
    judged = {name: _by_kind([item for item in verdicts if item.spec in listed]) for name, listed in lists.items()}
    return {
        "views": config.views,
        "guidance_scale": guidance_scale,
        "num_steps": num_steps,
        **judged,
        "seconds": _seconds_since(started),
    }


def memorized_samples(
    prior: Prior,
    config: MemorizingConfig,
    *,
    trained: Iterable[ToyDraw],
    untrained: Iterable[ToyDraw],
    generator: torch.Generator,
    guidance_scale: float,
    num_steps: int = FEW_STEPS,
) -> dict[str, Any]:
    """How much nearer samples of trained prompts are to training images than to others (see `memorizing.memorizing`).

    Args:
        prior: A pixel-space prior of toybox images that takes cameras.
        config: How many samples.
        trained, untrained: What it was trained on, and as many other draws of the same distribution.
        generator: On the CPU; the source of all further draws.
        guidance_scale, num_steps: Of the sampling (see `sampling.sample`).
    """
    started = time.perf_counter()
    specs = trained_specs(config.samples)
    views = ViewDistribution().sample(len(specs), size=prior.sample_shape[-1], generator=generator)
    images = samples_of(
        prior,
        specs,
        untold_light(views),
        guidance_scale=guidance_scale,
        num_steps=num_steps,
        generator=generator,
    )
    drawn = Drawn(images, specs, views)
    found = memorizing(drawn, trained=trained, untrained=untrained, generator=generator)
    return {**found, "seconds": _seconds_since(started)}


@dataclass(frozen=True)
class _Verdict:
    """What the judge makes of one prompt.

    Attributes:
        spec: What the prompt names.
        samples: Of all samples together.
        alone: Of each sample by itself.
        true: Of true renders from the same cameras, each of another scene of the prompt.
    """

    spec: SceneSpec
    samples: Opinion
    alone: tuple[Opinion, ...]
    true: Opinion

    @classmethod
    def of(cls, spec: SceneSpec, images: Float[Tensor, "V H W 3"], true: Float[Tensor, "V h w 3"]) -> _Verdict:
        """The bundled judge's."""
        judge = load_judge()
        images, true = _for_judge(images), _for_judge(true)
        alone = tuple(judge.opinion(image[None]) for image in images)
        return cls(spec, judge.opinion(images), alone, judge.opinion(true))


def _by_kind(verdicts: Sequence[_Verdict]) -> dict[str, Any]:
    """Shares of single objects, of all relations, and of each relation, of those that there are."""
    kinds = {
        "single": [verdict for verdict in verdicts if verdict.spec.relation is None],
        "relation": [verdict for verdict in verdicts if verdict.spec.relation is not None],
        **{relation: [verdict for verdict in verdicts if verdict.spec.relation == relation] for relation in RELATIONS},
    }
    return {kind: _shares(found) for kind, found in kinds.items() if found}


def _shares(verdicts: Sequence[_Verdict]) -> dict[str, Any]:
    """Shares of prompts with right objects, both of them where there are two and in their order, and with right colours.

    Colours count apart from objects, and only for prompts that name some. Beside them the share of single samples with
    right objects, and what the judge makes of true renders, which is the most that it would make of a perfect prior.
    """
    colored = [item for item in verdicts if any(part.color for part in item.spec.objects)]
    return {
        "prompts": len(verdicts),
        "objects_right": _share([item.samples.has_objects_of(item.spec) for item in verdicts]),
        "colors_right": _share([item.samples.has_colors_of(item.spec) for item in colored]),
        "objects_right_in_one_image": _share(
            [one.has_objects_of(item.spec) for item in verdicts for one in item.alone]
        ),
        "true_renders": {
            "objects_right": _share([item.true.has_objects_of(item.spec) for item in verdicts]),
            "colors_right": _share([item.true.has_colors_of(item.spec) for item in colored]),
        },
    }


def _for_judge(images: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V h w 3"]:
    """Images at the size that the judge takes."""
    shown = F.interpolate(images.permute(0, 3, 1, 2), size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return shown.permute(0, 2, 3, 1)


def _share(flags: list[bool]) -> float | None:
    return round(sum(flags) / len(flags), 4) if flags else None


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 1)
