"""DeepFloyd IF, stage I: a UNet that works on pixels and reads the tokens of T5.

The text was lower case in training, and its padding was hidden from T5 but not from the UNet. The UNet also predicts the
variance of each step, which sampling may use and distillation does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import PixelCodec, blocks_across, stated_size
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel, check_config, load_schedule
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.families.text import HiddenStates, T5Text
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization

T5_LENGTH = 77


class DeepFloyd(TextToImageModel):
    """The first of the three stages of DeepFloyd IF, of any size; the others only enlarge its images.

    Args:
        unet: A `diffusers.UNet2DConditionModel`.
        text: The text encoder.
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What its output means.
    """

    embedding = HiddenStates

    def __init__(
        self,
        unet: Any,
        *,
        text: T5Text,
        codec: PixelCodec,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
    ) -> None:
        self.unet = unet
        self.text = text
        self.codec = codec
        self.schedule = schedule.to(unet.device)
        self.parameterization = parameterization
        check_config(
            unet.config,
            {
                "in_channels": [3],  # 6 in the stages that enlarge
                "out_channels": [3, 6],
                "encoder_hid_dim_type": ["text_proj"],
                "addition_embed_type": ["text"],  # pools the tokens that it is given anyway
                "class_embed_type": [None],
                "num_class_embeds": [None],
                "time_cond_proj_dim": [None],
            },
        )

    @classmethod
    def _load(cls, folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> DeepFloyd:
        from diffusers import UNet2DConditionModel

        folder.require("unet", ["UNet2DConditionModel"])
        schedule, parameterization = load_schedule(folder)
        options.refuse_autoencoder()
        options.ignore_chunks(T5_LENGTH)
        unet = load_denoiser(folder, "unet", UNet2DConditionModel, dtype=dtype, options=options)
        height, width = stated_size(unet.config.sample_size)
        if options.image_size is not None:
            side = 2 ** (len(unet.config.block_out_channels) - 1)
            height = width = side * blocks_across(options.image_size, side=side)
        device, keep = options.device, options.keep_text_encoder
        return cls(
            unet,
            text=T5Text.load(folder, dtype=dtype, device=device, keep=keep, max_length=T5_LENGTH, is_masked=True),
            codec=PixelCodec(height, width),
            schedule=schedule,
            parameterization=parameterization,
        )

    def encode_text(self, prompts: Sequence[str]) -> HiddenStates:
        """Tokens of T5."""
        return self.text.encode([prompt.lower().strip() for prompt in prompts])

    def evaluate(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], conditions: Conditions
    ) -> Float[Tensor, "N C h w"]:
        """The UNet's raw output without the variances."""
        assert isinstance(conditions.text, HiddenStates)
        states, dtype = conditions.text.flatten().states, self.unet.dtype
        times = self.schedule.times[timestep.long()]
        output: Tensor = self.unet(noisy.to(dtype), times, states.to(dtype), return_dict=False)[0]
        return output[:, : noisy.shape[1]].float()
