"""How the predictions under several conditions become one.

Raw predictions are combined, before any conversion, because the epsilon form loses what it needs where alpha is 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import COMBINATIONS
from framework.diffusion.conditions import Conditions
from framework.diffusion.prediction import classifier_free


class Combination(Component, ABC):
    """Chooses the conditions that are worth evaluating and combines what was predicted under them."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def select(self, conditions: Conditions, guidance_scale: float) -> Conditions:
        """The conditions that the combination reads at this scale; the others need not be evaluated."""

    @abstractmethod
    def combine(
        self, raw: Float[Tensor, "K B C H W"], weights: Float[Tensor, "K B"], guidance_scale: float
    ) -> Float[Tensor, "B C H W"]:
        """One prediction from those of the selected conditions."""


@COMBINATIONS.register("classifier-free")
class ClassifierFree(Combination):
    """uncond + s (cond - uncond) (arXiv:2207.12598); s = 1 is no guidance and costs one evaluation, not two."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Combination.Config):
        pass

    def select(self, conditions: Conditions, guidance_scale: float) -> Conditions:
        """The prompt alone at scale 1, else the prompt and the unconditional row."""
        return conditions.rows([0] if guidance_scale == 1.0 else [0, 1])

    def combine(
        self, raw: Float[Tensor, "K B C H W"], weights: Float[Tensor, "K B"], guidance_scale: float
    ) -> Float[Tensor, "B C H W"]:
        """The guided prediction; `weights` are not used."""
        return raw[0] if len(raw) == 1 else classifier_free(raw[0], raw[1], guidance_scale)
