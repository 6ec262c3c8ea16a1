"""Trials on development prompts by which the settings of the default config were chosen; all of them, good and bad."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from framework.bench.results import PROMPTS, generate, medians, scored
from framework.bench.rows import Report
from framework.bench.suite import Case, Outcome, Suite, Summary

FEW = ("a snowman", "a red cube", "a white mug", "a yellow duck")
"""Development prompts of four kinds: round, angular, thin and hollow, with a front."""


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    Attributes:
        name: First words of its rows.
        settings: What differs from `configs/dreamfusion.yaml` as it is now.
        why: What was to be found out.
    """

    name: str
    settings: tuple[str, ...]
    why: str


TRIALS: tuple[Trial, ...] = (
    Trial("default", (), "What the others are compared with."),
    Trial("guidance 1", ("system.guidance.guidance_scale=1",), "Whether the prompt has to be amplified at all."),
    Trial("guidance 2", ("system.guidance.guidance_scale=2",), "A little less amplification."),
    Trial("guidance 5", ("system.guidance.guidance_scale=5",), "A little more amplification."),
    Trial("guidance 15", ("system.guidance.guidance_scale=15",), "The scale that models of velocities want."),
    Trial("rescaled", ("system.guidance.combination.rescale=0.5",), "Whether contrast should be held down (MVDream)."),
    Trial(
        "guidance falls",
        ("system.guidance.guidance_scale={type: linear, from: 5, to: 1, during: [0.0, 0.8]}",),
        "Whether shape wants amplification, and colour none.",
    ),
    Trial(
        "noise stays high",
        ("system.guidance.timesteps.max_fraction=0.98",),
        "Whether colours, which only much noise puts right, stay true.",
    ),
    Trial(
        "noisy steps weigh more",
        ("system.guidance.weighting=noise-to-signal",),
        "The same, by the weights of noise levels instead of how often they are drawn.",
    ),
    Trial("in words", ("system.guidance.prompts=view-dependent",), "What it costs to be told the side in words only."),
    Trial("longer", ("trainer.max_steps=1500",), "Whether it was at its end."),
)


def suite() -> Suite:
    """Each trial on each of the few prompts, and its medians."""
    assert set(FEW) <= set(PROMPTS.read_text(encoding="ascii").splitlines())
    cases = [_case(trial, prompt) for trial in TRIALS for prompt in FEW]
    return Suite(cases, [Summary(f"{trial.name}, median", _median_of(trial)) for trial in TRIALS])


def _case(trial: Trial, prompt: str) -> Case:
    def measure(pictures: Path) -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            launch = ("--config", "configs/dreamfusion.yaml", *trial.settings)
            mesh, seconds = generate(launch, prompt, Path(folder))
        return scored(mesh, prompt, seconds, note=f"{trial.why} {' '.join(trial.settings)} ".lstrip())

    return Case(f"{trial.name}, {prompt}", measure)


def _median_of(trial: Trial) -> Callable[[Report], Outcome | None]:
    return lambda report: medians(report, [f"{trial.name}, {prompt}" for prompt in FEW])
