"""Stable Diffusion 3 and 3.5 (arXiv:2403.03206): a transformer that learns a rectified flow of latents.

It attends to the tokens of two CLIP encoders, side by side along the channels and padded with zeros to the width of T5,
followed by the tokens of T5; beside them it is told the pooled outputs of both CLIP encoders. T5 may be missing: its tokens
are zeros then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec, stated_size
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel, check_config, load_schedule
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.families.text import ClipText, PooledStates, T5Text
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization

T5_LENGTH = 256


class StableDiffusion3(TextToImageModel):
    """Stable Diffusion 3 and 3.5 of any size.

    Args:
        transformer: A `diffusers.SD3Transformer2DModel`.
        clips: The two CLIP encoders, both with projection.
        t5: The T5 encoder, if the model has one.
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What its output means.
    """

    half = torch.bfloat16
    embedding = PooledStates

    def __init__(
        self,
        transformer: Any,
        *,
        clips: tuple[ClipText, ClipText],
        t5: T5Text | None,
        codec: LatentCodec,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
    ) -> None:
        self.transformer = transformer
        self.clips = clips
        self.t5 = t5
        self.codec = codec
        self.schedule = schedule.to(transformer.device)
        self.parameterization = parameterization
        self._check()

    @classmethod
    def _load(cls, folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> StableDiffusion3:
        from diffusers import SD3Transformer2DModel

        folder.require("transformer", ["SD3Transformer2DModel"])
        schedule, parameterization = load_schedule(folder)
        transformer = load_denoiser(folder, "transformer", SD3Transformer2DModel, dtype=dtype, options=options)
        size, patch_size = stated_size(transformer.config.sample_size), transformer.config.patch_size
        options.ignore_chunks(T5_LENGTH)
        device, keep, t5 = options.device, options.keep_text_encoder, None
        first = ClipText.load(folder, dtype=dtype, device=device, keep=keep, is_projected=True)
        second = ClipText.load(folder, dtype=dtype, device=device, keep=keep, suffix="_2", is_projected=True)
        if folder.has("text_encoder_3"):
            t5 = T5Text.load(
                folder, dtype=dtype, device=device, keep=keep, suffix="_3", max_length=T5_LENGTH, is_masked=False
            )
        return cls(
            transformer,
            clips=(first, second),
            t5=t5,
            codec=LatentCodec.load(folder, options, default_size=size, patch_size=patch_size),
            schedule=schedule,
            parameterization=parameterization,
        )

    def encode_text(self, prompts: Sequence[str]) -> PooledStates:
        """Tokens of CLIP, then those of T5; both pooled outputs, side by side."""
        first, second = (clip.encode_penultimate(prompts) for clip in self.clips)
        tokens = torch.cat([first.states, second.states], dim=-1)
        width = self.transformer.config.joint_attention_dim
        if self.t5 is None:
            more = tokens.new_zeros(len(prompts), T5_LENGTH, width)
        else:
            more = self.t5.encode(prompts).states.to(tokens.dtype)
        tokens = F.pad(tokens, (0, width - tokens.shape[-1]))
        return PooledStates(torch.cat([tokens, more], dim=-2), torch.cat([first.pooled, second.pooled], dim=-1))

    def evaluate(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], conditions: Conditions
    ) -> Float[Tensor, "N C h w"]:
        """The transformer's raw output; it is told T sigma as the time."""
        assert isinstance(conditions.text, PooledStates)
        text, dtype = conditions.text.flatten(), self.transformer.dtype
        output: Tensor = self.transformer(
            hidden_states=noisy.to(dtype),
            encoder_hidden_states=text.states.to(dtype),
            pooled_projections=text.pooled.to(dtype),
            timestep=self.schedule.times[timestep.long()],
            return_dict=False,
        )[0]
        return output.float()

    def _check(self) -> None:
        config, channels = self.transformer.config, self.codec.sample_shape[0]
        check_config(config, {"in_channels": [channels], "out_channels": [channels]})
        if self.parameterization != "flow":
            raise ValueError("its scheduler is not one of rectified flow, as which the model was trained.")
        largest = config.pos_embed_max_size * config.patch_size
        if max(self.codec.sample_shape[1:]) > largest:
            raise ValueError(f"it knows positions up to latents of {largest} x {largest}; use a smaller image_size.")
