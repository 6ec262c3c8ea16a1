"""What a denoiser is told besides the noisy sample: K conditions for each of B samples.

Every tensor begins with (K, B): row 0 holds the wanted condition, row 1 the unconditional one, further rows what a
combination asks for. So a condition can never meet another sample's noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.structures.record import TensorRecord
from framework.structures.views import Views

E = TypeVar("E", bound="TextEmbedding")


class TextEmbedding(TensorRecord):
    """Embeddings of prompts as one prior's text encoder makes them; each prior has its own record.

    The leading dimensions of every tensor count prompts. Indexing with integers (K, B) repeats and stacks them:
    `embedding[index]` is the record of (K, B) prompts.
    """

    def lerp(self: E, other: E, weight: Float[Tensor, "*batch"]) -> E:
        """The record `weight` of the way from this one to `other`, prompt by prompt.

        Raises:
            ValueError: If an embedding is a whole number, so that there is nothing in between.
        """
        changes = {}
        for (name, mine), (_, others) in zip(self._tensors(), other._tensors(), strict=True):
            if not mine.is_floating_point():
                raise ValueError(f"{type(self).__name__}: '{name}' cannot be interpolated.")
            changes[name] = torch.lerp(mine, others, weight.reshape(weight.shape + (1,) * (mine.ndim - weight.ndim)))
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def flatten(self: E) -> E:
        """The record of (K, B) prompts as one of (K * B)."""
        return self.map(lambda value: value.flatten(0, 1))


@dataclass(frozen=True, eq=False)
class PromptIndex(TextEmbedding):
    """Numbers of prompts in a list that the prior keeps: the embedding of priors without a text encoder."""

    index: Int[Tensor, "*batch"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """K conditions for B samples.

    Attributes:
        text: Embeddings, (K, B, ...).
        weights: Strength of each condition, for combinations that use more than two; 1 otherwise.
        views: The views that the B samples show, if known.
        camera_present: Which conditions tell the denoiser the camera of the view; None tells none.
    """

    text: TextEmbedding
    weights: Float[Tensor, "K B"]
    views: Views | None = None
    camera_present: Bool[Tensor, "K B"] | None = None

    def __post_init__(self) -> None:
        if self.camera_present is not None and self.views is None:
            raise ValueError("Conditions with a camera need the views.")
        if self.views is not None and len(self.views) != self.weights.shape[1]:
            raise ValueError(f"Conditions for {self.weights.shape[1]} samples came with {len(self.views)} views.")

    @property
    def num_conditions(self) -> int:
        """K."""
        return self.weights.shape[0]

    def joined(self, others: Conditions) -> Conditions:
        """These conditions and, after them, other ones for the same samples: K + K' rows for one evaluation.

        Raises:
            ValueError: If only one of the two tells the camera.
        """
        present = None
        if (self.camera_present is None) != (others.camera_present is None):
            raise ValueError("Conditions that tell the camera and conditions that do not cannot be joined.")
        if self.camera_present is not None and others.camera_present is not None:
            present = torch.cat([self.camera_present, others.camera_present])
        text = type(self.text).concatenate([self.text, others.text])
        return Conditions(text, torch.cat([self.weights, others.weights]), self.views, present)

    def rows(self, rows: Sequence[int]) -> Conditions:
        """The conditions of the given rows, in that order."""
        index = list(rows)
        present = None if self.camera_present is None else self.camera_present[index]
        return Conditions(self.text[index], self.weights[index], self.views, present)
