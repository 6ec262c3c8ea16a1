"""Priors whose answers come from a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions, TextEmbedding
from framework.diffusion.families.model import TextToImageModel
from framework.diffusion.prediction import Prediction
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits


class ModelPrior(Prior):
    """A prior around a model that exists already, such as one in training; registered priors load theirs first.

    Attributes:
        model: The model.
        is_guidance_distilled: Whether its answers under the prompt alone are guided already (see `TextToImageModel`).
    """

    def __init__(self, config: Prior.Config, *, device: torch.device, model: TextToImageModel) -> None:
        super().__init__(config, device=device)
        self.model = model
        self.schedule = model.schedule
        self.space = model.codec.space
        self.sample_shape = model.codec.sample_shape
        self.parameterization = model.parameterization
        self.takes_camera = model.takes_camera
        self.is_guidance_distilled = model.is_guidance_distilled

    @property
    def traits(self) -> Traits:
        """What it can be asked."""
        return replace(super().traits, has_unet=self.model.has_unet, takes_image=self.model.takes_image)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Samples as the model's codec makes them."""
        return self.model.codec.encode(images)

    def decode(self, samples: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Images as the model's codec makes them."""
        return self.model.codec.decode(samples)

    def encode_text(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embeddings by the model's text encoder."""
        return self.model.encode_text(prompts)

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """The denoiser's answer under each condition."""
        return self.model.predict(noisy, timestep, conditions)
