"""The guidances of a system, built alike for scenes and for images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from framework.core.registries import GUIDANCES
from framework.core.run_config import RunConfig
from framework.diffusion.prior import load_prior

log = logging.getLogger(__name__)


def build_guidances(configs: Mapping[str, Any], *, run: RunConfig, device: torch.device) -> nn.ModuleDict:
    """Guidances by name, each with its own prior or else the run's."""
    return nn.ModuleDict({name: _build(name, config, run, device) for name, config in configs.items()})


def _build(name: str, config: Any, run: RunConfig, device: torch.device) -> Any:
    prior = load_prior(config.prior or run.prior, device)
    unknown = prior.unknown_words(run.prompt)
    if unknown:
        words = ", ".join(f"'{word}'" for word in unknown)
        log.warning("The prior has never seen %s; see its vocabulary with --describe prior/toybox.", words)
    return GUIDANCES.build(config, name=name, prior=prior, prompt=run.prompt, seed=run.seed)
