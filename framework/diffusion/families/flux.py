"""FLUX.1 dev and schnell (Black Forest Labs): a transformer that learns a rectified flow of latents.

Its tokens are blocks of 2 x 2 latents, told apart by their row and column; those of the prompt come from T5 and have no
place. CLIP gives one vector for the whole prompt. Both models are distilled: dev is told the guidance scale as a number,
schnell always answers as if guided, so neither needs an unconditional row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel, check_config, load_schedule
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.families.text import ClipText, PooledStates, T5Text
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization

PATCH = 2
DEFAULT_LATENTS = (128, 128)  # 1024 x 1024 pixels; the config states no size
DEFAULT_GUIDANCE_SCALE = 3.5
T5_LENGTH, T5_LENGTH_SCHNELL = 512, 256


class Flux(TextToImageModel):
    """FLUX.1 dev and schnell.

    Args:
        transformer: A `diffusers.FluxTransformer2DModel`.
        clip: The encoder of the whole prompt.
        t5: The encoder of its tokens.
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What its output means.
    """

    is_guidance_distilled = True
    half = torch.bfloat16
    embedding = PooledStates

    def __init__(
        self,
        transformer: Any,
        *,
        clip: ClipText,
        t5: T5Text,
        codec: LatentCodec,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
    ) -> None:
        self.transformer = transformer
        self.clip = clip
        self.t5 = t5
        self.codec = codec
        self.schedule = schedule.to(transformer.device)
        self.parameterization = parameterization
        self.embedded_guidance_scale = DEFAULT_GUIDANCE_SCALE if transformer.config.guidance_embeds else None
        _, height, width = codec.sample_shape
        self.image_ids = _image_ids(height // PATCH, width // PATCH).to(transformer.device)
        self._check()

    @classmethod
    def _load(cls, folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> Flux:
        from diffusers import FluxTransformer2DModel

        folder.require("transformer", ["FluxTransformer2DModel"])
        schedule, parameterization = load_schedule(folder)
        transformer = load_denoiser(folder, "transformer", FluxTransformer2DModel, dtype=dtype, options=options)
        device, keep = options.device, options.keep_text_encoder
        length = T5_LENGTH if transformer.config.guidance_embeds else T5_LENGTH_SCHNELL
        options.ignore_chunks(length)
        return cls(
            transformer,
            clip=ClipText.load(folder, dtype=dtype, device=device, keep=keep),
            t5=T5Text.load(
                folder, dtype=dtype, device=device, keep=keep, suffix="_2", max_length=length, is_masked=False
            ),
            codec=LatentCodec.load(folder, options, default_size=DEFAULT_LATENTS, patch_size=PATCH),
            schedule=schedule,
            parameterization=parameterization,
        )

    def encode_text(self, prompts: Sequence[str]) -> PooledStates:
        """Tokens of T5 and the pooled output of CLIP."""
        return PooledStates(self.t5.encode(prompts).states, self.clip.encode_penultimate(prompts).pooled)

    def evaluate(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], conditions: Conditions
    ) -> Float[Tensor, "N C h w"]:
        """The transformer's raw output; it is told sigma as the time and multiplies it by 1000 itself."""
        assert isinstance(conditions.text, PooledStates)
        text, dtype = conditions.text.flatten(), self.transformer.dtype
        times = self.schedule.times[timestep.long()].to(dtype) / len(self.schedule)
        output: Tensor = self.transformer(
            hidden_states=pack(noisy).to(dtype),
            encoder_hidden_states=text.states.to(dtype),
            pooled_projections=text.pooled.to(dtype),
            timestep=times,
            guidance=self._guidance(len(noisy)),
            img_ids=self.image_ids.to(dtype),
            txt_ids=torch.zeros(text.states.shape[1], 3, dtype=dtype, device=noisy.device),
            return_dict=False,
        )[0]
        return unpack(output.float(), height=noisy.shape[2], width=noisy.shape[3])

    def _guidance(self, count: int) -> Float[Tensor, "N"] | None:
        if self.embedded_guidance_scale is None:
            return None
        return torch.full((count,), self.embedded_guidance_scale, device=self.image_ids.device)

    def _check(self) -> None:
        channels = self.codec.sample_shape[0] * PATCH**2
        check_config(
            self.transformer.config, {"in_channels": [channels], "out_channels": [None, channels], "patch_size": [1]}
        )
        if self.parameterization != "flow":
            raise ValueError("its scheduler is not one of rectified flow, as which the model was trained.")


def pack(latents: Float[Tensor, "N C h w"]) -> Float[Tensor, "N tokens D"]:
    """Blocks of 2 x 2 latents as tokens, row by row; D = 4 C counts channels, then rows, then columns of a block."""
    return F.pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2).contiguous()


def unpack(tokens: Float[Tensor, "N tokens D"], *, height: int, width: int) -> Float[Tensor, "N C h w"]:
    """What `pack` made tokens of."""
    blocks = tokens.transpose(1, 2).unflatten(2, (height // PATCH, width // PATCH))
    return F.pixel_shuffle(blocks, PATCH)


def _image_ids(rows: int, columns: int) -> Float[Tensor, "tokens 3"]:
    """(0, row, column) of each token."""
    return torch.cartesian_prod(torch.zeros(1), torch.arange(float(rows)), torch.arange(float(columns)))
