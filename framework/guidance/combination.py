"""How the predictions under several conditions become one.

Raw predictions are combined, before any conversion, because the epsilon form loses what it needs where alpha is 0.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import COMBINATIONS
from framework.diffusion.conditions import Conditions
from framework.diffusion.prediction import classifier_free, rows_read


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
        rescale: float = 0.0
        """Share of the result that gets the contrast of the plain prediction back (arXiv:2305.08891); MVDream: 0.5."""

        def __post_init__(self) -> None:
            if not 0.0 <= self.rescale <= 1.0:
                raise ValueError(f"rescale: expected a share in [0, 1], got {self.rescale}.")

    config: Config

    def select(self, conditions: Conditions, guidance_scale: float) -> Conditions:
        """The prompt alone at scale 1, the unconditional row alone at 0, else both."""
        return conditions.rows(rows_read(guidance_scale))

    def combine(
        self, raw: Float[Tensor, "K B C H W"], weights: Float[Tensor, "K B"], guidance_scale: float
    ) -> Float[Tensor, "B C H W"]:
        """The guided prediction; `weights` are not used."""
        if len(raw) == 1:
            return raw[0]
        guided = classifier_free(raw[0], raw[1], guidance_scale)
        if self.config.rescale == 0.0:
            return guided
        factor = _deviation(raw[0]) / _deviation(guided)
        return (self.config.rescale * factor + 1.0 - self.config.rescale) * guided


@COMBINATIONS.register("perpendicular-negative")
class PerpendicularNegative(Combination):
    """Negative prompts act only where they do not contradict the prompt (Perp-Neg, arXiv:2304.04968).

    uncond + s (e_0 + sum_i w_i e_i'), with e = cond - uncond and e_i' the part of the negative e_i that is perpendicular
    to e_0. The rows from 2 on are the negatives, their weights w_i are negative numbers or 0.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Combination.Config):
        pass

    def select(self, conditions: Conditions, guidance_scale: float) -> Conditions:
        """Everything but negatives that weigh nothing for any sample; at scale 0 the unconditional row alone."""
        if guidance_scale == 0.0:
            return conditions.rows([1])
        acting = [row for row in range(2, conditions.num_conditions) if bool((conditions.weights[row] != 0.0).any())]
        return conditions.rows([0, 1, *acting])

    def combine(
        self, raw: Float[Tensor, "K B C H W"], weights: Float[Tensor, "K B"], guidance_scale: float
    ) -> Float[Tensor, "B C H W"]:
        """The guided prediction, sample by sample."""
        if len(raw) == 1:
            return raw[0]
        unconditional = raw[1]
        direction = positive = raw[0] - unconditional
        for negative, weight in zip(raw[2:], weights[2:], strict=True):
            direction = direction + weight[:, None, None, None] * perpendicular(negative - unconditional, positive)
        return unconditional + guidance_scale * direction


@COMBINATIONS.register("dual-condition")
class DualCondition(Combination):
    """Two scales for a prior that edits an image: s for the prompt, another for the image (arXiv:2211.09800).

    none + s_image (image - none) + s (full - image), with `full` told the prompt and shown the image, `image` only shown
    it, and `none` neither. A prior that is shown no image makes `image` and `none` the same, which leaves classifier-free
    guidance.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Combination.Config):
        image_scale: float = 1.5
        """Strength of the image; above 1 the result keeps to it more than the prior itself would."""

    config: Config

    def select(self, conditions: Conditions, guidance_scale: float) -> Conditions:
        """The rows full, image and none, in this order, with what each counts as its weight; what counts 0 is left out."""
        image_scale = 1.0 if conditions.image is None else self.config.image_scale
        factors = [guidance_scale, image_scale - guidance_scale, 1.0 - image_scale]
        kept = [row for row, factor in enumerate(factors) if factor != 0.0]
        rows = conditions.rows([0, 1, 1]).hiding_image([2]).rows(kept)
        weights = rows.weights.new_tensor([factors[row] for row in kept])
        return dataclasses.replace(rows, weights=weights[:, None].expand_as(rows.weights))

    def combine(
        self, raw: Float[Tensor, "K B C H W"], weights: Float[Tensor, "K B"], guidance_scale: float
    ) -> Float[Tensor, "B C H W"]:
        """The sum of the rows, each times its weight."""
        return (weights[..., None, None, None] * raw).sum(dim=0)


def perpendicular(vector: Float[Tensor, "B C H W"], to: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """The part of each sample's `vector` that is perpendicular to the sample's `to`; all of it where `to` is zero."""
    along = (vector * to).sum(dim=(1, 2, 3), keepdim=True)
    squared = to.square().sum(dim=(1, 2, 3), keepdim=True)
    return vector - along / squared.clamp(min=1e-12) * to


def _deviation(raw: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 1 1"]:
    return raw.std(dim=(1, 2, 3), keepdim=True)
