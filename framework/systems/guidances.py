"""The guidances of a system, built alike for scenes and for images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from framework.core.errors import Problem
from framework.core.registries import GUIDANCES, PRIORS
from framework.core.run_config import RunConfig
from framework.diffusion.prior import load_prior

log = logging.getLogger(__name__)


def build_guidances(configs: Mapping[str, Any], *, run: RunConfig, device: torch.device) -> nn.ModuleDict:
    """Guidances by name, each with its own prior or else the run's."""
    return nn.ModuleDict({name: _build(name, config, run, device) for name, config in configs.items()})


def guidance_problems(configs: Mapping[str, Any], run: RunConfig) -> list[Problem]:
    """Guidances that cannot work with their prior, as far as that is known before weights are read."""
    problems = []
    for name, config in configs.items():
        prior = config.prior or run.prior
        traits = PRIORS.find(PRIORS.name_of(prior)).traits_of(prior)
        if traits is not None:
            found = GUIDANCES.find(GUIDANCES.name_of(config)).misfits(config, traits)
            problems += [Problem(f"system.guidance.{name}.{problem.path}", problem.message) for problem in found]
    return problems


def _build(name: str, config: Any, run: RunConfig, device: torch.device) -> Any:
    prior = load_prior(config.prior or run.prior, device)
    unknown = prior.unknown_words(run.prompt)
    if unknown:
        words = ", ".join(f"'{word}'" for word in unknown)
        log.warning("The prior has never seen %s; see its vocabulary with --describe prior/toybox.", words)
    return GUIDANCES.build(config, name=name, prior=prior, prompt=run.prompt, seed=run.seed)
