"""Trials on development prompts by which the settings of the default config were chosen; all of them, good and bad."""

from __future__ import annotations

from dataclasses import dataclass

from framework.bench.results import PROMPTS
from framework.bench.scored_runs import Job, summary_of
from framework.bench.suite import Suite, Summary

FEW = ("a red cube", "a yellow pyramid", "a white mug", "a blue robot", "a yellow duck")
"""Development prompts of all kinds: angular, thin and hollow, with a front."""


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

    @property
    def jobs(self) -> list[Job]:
        """Its runs."""
        launch = ("--config", "configs/dreamfusion.yaml", *self.settings)
        return [Job(self.name, launch, "", prompt) for prompt in FEW]


TRIALS: tuple[Trial, ...] = (
    Trial("default", (), "What the others are compared with."),
    Trial("guidance 1", ("system.guidance.guidance_scale=1",), "Whether the prompt has to be amplified at all."),
    Trial("guidance 2", ("system.guidance.guidance_scale=2",), "A little less amplification."),
    Trial("guidance 5", ("system.guidance.guidance_scale=5",), "A little more amplification."),
    Trial("guidance 15", ("system.guidance.guidance_scale=15",), "The scale that models of velocities want."),
    Trial("rescaled", ("system.guidance.combination.rescale=0.5",), "Whether contrast should be held down (MVDream)."),
    Trial(
        "guidance falls",
        ("system.guidance.guidance_scale={type: linear, from: 3, to: 1, during: [0.0, 0.8]}",),
        "Whether shape wants amplification, and colour none.",
    ),
    Trial(
        "noise falls to a half",
        ("system.guidance.timesteps.max_fraction={type: linear, from: 0.98, to: 0.5, during: [0.0, 0.67]}",),
        "Whether details come out once only little noise is left; the default until colours were looked at.",
    ),
    Trial(
        "noise falls a little",
        ("system.guidance.timesteps.max_fraction={type: linear, from: 0.98, to: 0.85, during: [0.0, 0.67]}",),
        "The same, as far as colours bear it.",
    ),
    Trial(
        "noise and guidance fall",
        (
            "system.guidance.timesteps.max_fraction={type: linear, from: 0.98, to: 0.5, during: [0.0, 0.67]}",
            "system.guidance.guidance_scale={type: linear, from: 5, to: 1, during: [0.0, 0.8]}",
        ),
        "Whether it is amplification that darkens where there is little noise.",
    ),
    Trial(
        "noisy steps weigh more",
        ("system.guidance.weighting=noise-to-signal",),
        "Whether high noise should weigh more beside being drawn as often.",
    ),
    Trial("in words", ("system.guidance.prompts=view-dependent",), "What it costs to be told the side in words only."),
    Trial("longer", ("trainer.max_steps=1500",), "Whether it was at its end."),
)


def suite() -> Suite:
    """Each trial on each of the few prompts, and what is said of all of them."""
    assert set(FEW) <= set(PROMPTS.read_text(encoding="ascii").splitlines())
    cases = [
        job.case(note=f"{trial.why} {' '.join(trial.settings)} ".lstrip(), has_picture=False)
        for trial in TRIALS
        for job in trial.jobs
    ]
    return Suite(
        cases, [Summary(f"{trial.name}, all", summary_of([job.name for job in trial.jobs], {})) for trial in TRIALS]
    )
