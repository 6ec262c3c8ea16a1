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
        image: The images that are edited, (B, H, W, 3) in [0, 1], sRGB, for models that are shown them.
        image_present: Which conditions show the image; None shows it in all of them.
        control: What a ControlNet follows, (B, H, W, 3) in [0, 1], as its preprocessor would make it; shown in all.
    """

    text: TextEmbedding
    weights: Float[Tensor, "K B"]
    views: Views | None = None
    camera_present: Bool[Tensor, "K B"] | None = None
    image: Float[Tensor, "_ _ _ 3"] | None = None
    image_present: Bool[Tensor, "K B"] | None = None
    control: Float[Tensor, "_ _ _ 3"] | None = None

    def __post_init__(self) -> None:
        if self.camera_present is not None and self.views is None:
            raise ValueError("Conditions with a camera need the views.")
        if self.views is not None and len(self.views) != self.weights.shape[1]:
            raise ValueError(f"Conditions for {self.weights.shape[1]} samples came with {len(self.views)} views.")
        if self.image_present is not None and self.image is None:
            raise ValueError("Conditions that say where an image is shown need the image.")
        for name, images in (("images to edit", self.image), ("control images", self.control)):
            if images is not None and len(images) != self.weights.shape[1]:
                raise ValueError(f"Conditions for {self.weights.shape[1]} samples came with {len(images)} {name}.")

    @property
    def num_conditions(self) -> int:
        """K."""
        return self.weights.shape[0]

    def joined(self, others: Conditions) -> Conditions:
        """These conditions and, after them, other ones for the same samples: K + K' rows for one evaluation.

        The others are shown the images of these ones.

        Raises:
            ValueError: If only one of the two tells the camera.
        """
        present = None
        if (self.camera_present is None) != (others.camera_present is None):
            raise ValueError("Conditions that tell the camera and conditions that do not cannot be joined.")
        if self.camera_present is not None and others.camera_present is not None:
            present = torch.cat([self.camera_present, others.camera_present])
        text = type(self.text).concatenate([self.text, others.text])
        weights = torch.cat([self.weights, others.weights])
        shown = self.image_present
        if shown is not None:
            shown = torch.cat([shown, torch.ones_like(others.weights, dtype=torch.bool)])
        return dataclasses.replace(self, text=text, weights=weights, camera_present=present, image_present=shown)

    def rows(self, rows: Sequence[int]) -> Conditions:
        """The conditions of the given rows, in that order."""
        index = list(rows)
        present = None if self.camera_present is None else self.camera_present[index]
        shown = None if self.image_present is None else self.image_present[index]
        return dataclasses.replace(
            self, text=self.text[index], weights=self.weights[index], camera_present=present, image_present=shown
        )

    def showing(self, image: Tensor | None, control: Tensor | None) -> Conditions:
        """The same conditions with images, (B, H, W, 3), which all of them show."""
        return dataclasses.replace(self, image=image, image_present=None, control=control)

    def hiding_image(self, rows: Sequence[int]) -> Conditions:
        """The same conditions, of which the given rows do not show the image."""
        if self.image is None:
            return self
        everywhere = torch.ones_like(self.weights, dtype=torch.bool)
        shown = everywhere if self.image_present is None else self.image_present.clone()
        shown[list(rows)] = False
        return dataclasses.replace(self, image_present=shown)
