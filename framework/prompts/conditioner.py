"""The contract of conditioners: which conditions a prompt makes for the views of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from framework.core.component import Component
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits
from framework.structures.views import Views


class Conditioner(Component, ABC):
    """Turns a prompt into conditions; texts are encoded once, when it is built."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        negative_prompt: str = ""
        """What the unconditional row says: nothing, or what the result should move away from."""

    def __init__(self, config: Config, *, prior: Prior, prompt: str) -> None:
        """Encode the texts of `prompt` with `prior`."""
        self.config = config
        self.prompt = prompt

    @classmethod
    def misfit(cls, traits: Traits) -> str | None:
        """Why a prior cannot be asked in this way, and what to do; None if it can."""
        return None

    @abstractmethod
    def __call__(self, views: Views, step: StepInfo) -> Conditions:
        """Conditions of B views: row 0 the prompt, row 1 the unconditional one."""


def uniform_weights(views: Views) -> torch.Tensor:
    """Weights (2, B) of 1, for the two rows of classifier-free guidance."""
    return torch.ones(2, len(views), device=views.device)
