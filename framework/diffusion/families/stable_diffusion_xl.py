"""Stable Diffusion XL (arXiv:2307.01952): a latent UNet with two CLIP text encoders.

It attends to the last hidden layer but one of both encoders, side by side, and is told the pooled output of the second
one and six numbers: height and width of the training image, the corner of its crop, and height and width of the result.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec, stated_size
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel, check_config, load_schedule
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.families.text import ClipText, PooledStates
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization


class StableDiffusionXL(TextToImageModel):
    """Stable Diffusion XL and its fine-tunes, without the refiner.

    Args:
        unet: A `diffusers.UNet2DConditionModel`.
        encoders: The two text encoders; the pooled output of the second is used.
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What its output means.
        has_zero_unconditional: Whether the embedding of the empty prompt is zero instead of what the encoders make of it.
    """

    embedding = PooledStates

    def __init__(
        self,
        unet: Any,
        *,
        encoders: tuple[ClipText, ClipText],
        codec: LatentCodec,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
        has_zero_unconditional: bool,
    ) -> None:
        self.unet = unet
        self.encoders = encoders
        self.codec = codec
        self.schedule = schedule.to(unet.device)
        self.parameterization = parameterization
        self.has_zero_unconditional = has_zero_unconditional
        height, width = codec.image_size
        # As if the training image had the size of the result and had not been cropped.
        self.time_ids = torch.tensor([[height, width, 0, 0, height, width]], device=unet.device)
        self._check()

    @classmethod
    def _load(cls, folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> StableDiffusionXL:
        from diffusers import UNet2DConditionModel

        folder.require("unet", ["UNet2DConditionModel"])
        schedule, parameterization = load_schedule(folder)
        unet = load_denoiser(folder, "unet", UNet2DConditionModel, dtype=dtype, options=options)
        size = stated_size(unet.config.sample_size)
        device, keep, long = options.device, options.keep_text_encoder, options.long_prompt
        first = ClipText.load(folder, dtype=dtype, device=device, keep=keep, long_prompt=long)
        second = ClipText.load(
            folder, dtype=dtype, device=device, keep=keep, suffix="_2", is_projected=True, long_prompt=long
        )
        return cls(
            unet,
            encoders=(first, second),
            codec=LatentCodec.load(folder, options, default_size=size),
            schedule=schedule,
            parameterization=parameterization,
            has_zero_unconditional=bool(folder.index.get("force_zeros_for_empty_prompt", True)),
        )

    def encode_text(self, prompts: Sequence[str]) -> PooledStates:
        """Hidden states of both encoders along the channels, and the pooled output of the second."""
        first, second = (encoder.encode_penultimate(prompts) for encoder in self.encoders)
        length = math.lcm(first.states.shape[1], second.states.shape[1])  # tokenizers may cut in different places
        first, second = (item.repeated(length // item.states.shape[1]) for item in (first, second))
        embedding = PooledStates(torch.cat([first.states, second.states], dim=-1), second.pooled)
        if not self.has_zero_unconditional:
            return embedding
        is_empty = torch.tensor([prompt == "" for prompt in prompts], device=embedding.device)
        return _zero_where(embedding, is_empty)

    def num_chunks(self, prompt: str) -> int:
        """As the encoder reads it that makes more of them."""
        return max(encoder.num_chunks(prompt) for encoder in self.encoders)

    def evaluate(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], conditions: Conditions
    ) -> Float[Tensor, "N C h w"]:
        """The UNet's raw output."""
        assert isinstance(conditions.text, PooledStates)
        text, dtype = conditions.text.flatten(), self.unet.dtype
        added = {"text_embeds": text.pooled.to(dtype), "time_ids": self.time_ids.to(dtype).expand(len(noisy), -1)}
        times = self.schedule.times[timestep.long()]
        output: Tensor = self.unet(
            noisy.to(dtype), times, text.states.to(dtype), added_cond_kwargs=added, return_dict=False
        )[0]
        return output.float()

    def _check(self) -> None:
        config, channels = self.unet.config, self.codec.sample_shape[0]
        check_config(
            config,
            {
                "in_channels": [channels],
                "out_channels": [channels],
                "addition_embed_type": ["text_time"],
                "class_embed_type": [None],
                "num_class_embeds": [None],
                "encoder_hid_dim_type": [None],
                "time_cond_proj_dim": [None],
            },
        )
        pooled = self.encoders[1].encoder.config.projection_dim
        told = pooled + self.time_ids.shape[1] * config.addition_time_embed_dim
        if config.projection_class_embeddings_input_dim != told:
            raise ValueError(
                f"its UNet takes a vector of {config.projection_class_embeddings_input_dim} numbers beside the text where "
                f"pooled text and image sizes make {told}; refiners are not supported."
            )


def _zero_where(embedding: PooledStates, is_empty: Bool[Tensor, "N"]) -> PooledStates:
    keep = (~is_empty).to(embedding.states.dtype)
    return dataclasses.replace(
        embedding, states=embedding.states * keep[:, None, None], pooled=embedding.pooled * keep[:, None]
    )
