"""InstructPix2Pix (arXiv:2211.09800): Stable Diffusion 1 with a UNet that is shown the image to edit beside the noise.

The image is shown as the most likely latents of the autoencoder, as they are: those that are denoised are scaled to unit
variance, these are not. Zeros stand for no image. The text is an instruction, such as "make it snowy".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec, stated_size
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel, check_config, load_schedule
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.families.text import ClipText, HiddenStates
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization


class InstructPix2Pix(TextToImageModel):
    """A model that edits an image as the prompt says.

    Args:
        unet: A `diffusers.UNet2DConditionModel` with twice as many channels as latents have.
        text: The text encoder.
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What its output means.
    """

    embedding = HiddenStates
    takes_image = True
    codec: LatentCodec

    def __init__(
        self,
        unet: Any,
        *,
        text: ClipText,
        codec: LatentCodec,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
    ) -> None:
        self.unet = unet
        self.text = text
        self.codec = codec
        self.schedule = schedule.to(unet.device)
        self.parameterization = parameterization
        self._last: tuple[Tensor, Tensor] | None = None
        channels = codec.sample_shape[0]
        check_config(
            unet.config,
            {
                "in_channels": [2 * channels],
                "out_channels": [channels],
                "encoder_hid_dim_type": [None],
                "addition_embed_type": [None],
                "class_embed_type": [None],
                "num_class_embeds": [None],
                "time_cond_proj_dim": [None],
            },
        )

    @classmethod
    def _load(cls, folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> InstructPix2Pix:
        from diffusers import UNet2DConditionModel

        folder.require("unet", ["UNet2DConditionModel"])
        if options.autoencoder is not None:
            raise ValueError(
                "it is shown latents of its own vae as they are, which no other makes: remove `autoencoder`."
            )
        schedule, parameterization = load_schedule(folder)
        unet = load_denoiser(folder, "unet", UNet2DConditionModel, dtype=dtype, options=options)
        device, keep = options.device, options.keep_text_encoder
        return cls(
            unet,
            text=ClipText.load(folder, dtype=dtype, device=device, keep=keep, long_prompt=options.long_prompt),
            codec=LatentCodec.load(folder, options, default_size=stated_size(unet.config.sample_size)),
            schedule=schedule,
            parameterization=parameterization,
        )

    def encode_text(self, prompts: Sequence[str]) -> HiddenStates:
        """Hidden states of the text encoder."""
        return self.text.encode(prompts)

    def num_chunks(self, prompt: str) -> int:
        """As the text encoder reads it."""
        return self.text.num_chunks(prompt)

    def evaluate(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], conditions: Conditions
    ) -> Float[Tensor, "N C h w"]:
        """The UNet's raw output."""
        assert isinstance(conditions.text, HiddenStates)
        dtype, states = self.unet.dtype, conditions.text.flatten().states
        times = self.schedule.times[timestep.long()]
        seen = torch.cat([noisy, self._shown(conditions)], dim=1).to(dtype)
        output: Tensor = self.unet(seen, times, states.to(dtype), return_dict=False)[0]
        return output.float()

    def _shown(self, conditions: Conditions) -> Float[Tensor, "N C h w"]:
        """Latents of the image, row after row of the conditions; zeros in those that show none."""
        count, batch_size = conditions.weights.shape
        if conditions.image is None:
            return torch.zeros(count * batch_size, *self.codec.sample_shape, device=conditions.weights.device)
        latents = self._latents(conditions.image).expand(count, -1, -1, -1, -1)
        if conditions.image_present is not None:
            latents = latents * conditions.image_present[..., None, None, None]
        return latents.flatten(0, 1)

    @torch.no_grad()
    def _latents(self, image: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Latents as the autoencoder makes them; those of the last image are kept, for rules that ask many times a step."""
        if self._last is None or self._last[0] is not image:
            self._last = (image, self.codec.latents(image))
        return self._last[1]
