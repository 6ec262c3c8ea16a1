"""Models whose denoiser is a `diffusers.UNet2DConditionModel` with a CLIP text encoder: Stable Diffusion 1 and 2, their
descendants, and small models that work on pixels (the toybox prior).

Beside what diffusers defines, two keys of a pixel model's `model_index.json` are read: `pixel_unshuffle`, the side of the
pixel blocks that the UNet sees as channels, and `value_range`, the values of black and white.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.camera_vector import CAMERA_DIM, CAMERA_ENCODINGS, CameraEncoding
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import Codec, LatentCodec, PixelCodec, blocks_across, stated_size
from framework.diffusion.families.controlnet import ControlNet
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel, load_schedule
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.families.text import ClipText, HiddenStates
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization
from framework.diffusion.traits import Traits


class UNetModel(TextToImageModel):
    """A text-to-image model with a UNet.

    Args:
        unet: A `diffusers.UNet2DConditionModel`, frozen or in training.
        text: The text encoder.
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What its output means.
        pixel_unshuffle: Side of the pixel blocks that the UNet sees as channels.

    Attributes:
        control: What is added to the UNet where conditions show a control image; None adds nothing.
    """

    embedding = HiddenStates
    has_unet = True

    def __init__(
        self,
        unet: Any,
        *,
        text: ClipText,
        codec: Codec,
        schedule: NoiseSchedule,
        parameterization: Parameterization,
        pixel_unshuffle: int = 1,
    ) -> None:
        self.unet = unet
        self.text = text
        self.codec = codec
        self.schedule = schedule.to(unet.device)
        self.parameterization = parameterization
        self.pixel_unshuffle = pixel_unshuffle
        self.takes_camera = unet.config.class_embed_type == "projection"
        self.camera_encoding = CAMERA_ENCODINGS["angles"]
        self.control: ControlNet | None = None
        self._check()

    @classmethod
    def traits(cls, folder: ModelFolder) -> Traits:
        """A UNet with a projection for the camera takes one."""
        takes_camera = folder.read("unet").get("class_embed_type") == "projection"
        return replace(super().traits(folder), takes_camera=takes_camera)

    @classmethod
    def _load(cls, folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> UNetModel:
        from diffusers import UNet2DConditionModel

        folder.require("unet", ["UNet2DConditionModel"])
        if folder.has("text_encoder_2"):
            raise UserError(f"Model '{folder.name}' has two text encoders, which is not supported. Use one with one.")
        schedule, parameterization = load_schedule(folder)
        unet = load_denoiser(folder, "unet", UNet2DConditionModel, dtype=dtype, options=options)
        text = ClipText.load(
            folder,
            dtype=dtype,
            device=options.device,
            keep=options.keep_text_encoder,
            long_prompt=options.long_prompt,
        )
        unshuffle = int(folder.index.get("pixel_unshuffle", 1))
        return cls(
            unet,
            text=text,
            codec=_load_codec(folder, options, unet.config.sample_size, unshuffle),
            schedule=schedule,
            parameterization=parameterization,
            pixel_unshuffle=unshuffle,
        )

    def with_unet(self, unet: Any, camera_encoding: CameraEncoding | None) -> UNetModel:
        """The same model with another UNet in place of its own, which is told the camera in a way of its own, or not."""
        other = copy.copy(self)
        other.unet = unet
        other.takes_camera = camera_encoding is not None
        other.camera_encoding = camera_encoding or self.camera_encoding
        return other

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
        control = conditions.control
        if control is not None:
            control = control.permute(0, 3, 1, 2).repeat(conditions.num_conditions, 1, 1, 1)
        return self.denoise(noisy, timestep, conditions.text.flatten().states, self._camera(conditions), control)

    def denoise(
        self,
        noisy: Float[Tensor, "N C h w"],
        timestep: Int[Tensor, "N"],
        states: Float[Tensor, "N L D"],
        camera: Float[Tensor, "N E"] | None,
        control: Float[Tensor, "N 3 _ _"] | None = None,
    ) -> Float[Tensor, "N C h w"]:
        """The UNet's raw output in float32; `camera` is for UNets that take one. Learned variances are dropped."""
        dtype = self.unet.dtype
        blocks = F.pixel_unshuffle(noisy, self.pixel_unshuffle).to(dtype)
        labels = camera.to(dtype) if camera is not None and self.takes_camera else None
        times = self.schedule.times[timestep.long()]
        states, added = states.to(dtype), {}
        if self.control is not None and control is not None:
            added = self.control.residuals(blocks, times, states, control)
        output: Tensor = self.unet(blocks, times, states, class_labels=labels, return_dict=False, **added)[0]
        return F.pixel_shuffle(output[:, : blocks.shape[1]].float(), self.pixel_unshuffle)

    def _camera(self, conditions: Conditions) -> Float[Tensor, "N E"]:
        views, present = conditions.views, conditions.camera_present
        if views is None or present is None:
            return torch.zeros(conditions.weights.numel(), self.camera_encoding.dim, device=conditions.weights.device)
        known = self.camera_encoding.encode(views)
        return (known * present[..., None]).flatten(0, 1)  # (K, B, E) -> (K * B, E)

    def _check(self) -> None:
        config = self.unet.config
        channels = self.codec.sample_shape[0] * self.pixel_unshuffle**2
        if config.in_channels != channels:
            raise ValueError(
                f"its UNet takes {config.in_channels} channels where samples have {channels}: models that are also "
                "conditioned on an image (inpainting, editing, novel views) are not supported."
            )
        if config.out_channels not in (channels, 2 * channels):
            raise ValueError(f"its UNet returns {config.out_channels} channels where samples have {channels}.")
        if config.addition_embed_type not in (None, "text"):  # "text" pools the states that it is given anyway
            raise ValueError(f"its UNet wants '{config.addition_embed_type}' embeddings, which are not supported.")
        if config.num_class_embeds is not None or config.class_embed_type not in (None, "projection"):
            raise ValueError("its UNet wants class labels, which are not supported.")
        if self.takes_camera and config.projection_class_embeddings_input_dim != CAMERA_DIM:
            size = config.projection_class_embeddings_input_dim
            raise ValueError(f"its UNet takes a vector of {size} numbers; the camera vector has {CAMERA_DIM}.")


def _load_codec(
    folder: ModelFolder, options: LoadOptions, sample_size: int | Sequence[int] | None, unshuffle: int
) -> Codec:
    height, width = stated_size(sample_size)
    if folder.has("vae"):
        return LatentCodec.load(folder, options, default_size=(height, width))
    options.refuse_autoencoder()
    if options.image_size is not None:
        height, width = (blocks_across(options.image_size, side=unshuffle),) * 2
    low, high = folder.index.get("value_range", (-1.0, 1.0))
    return PixelCodec(height * unshuffle, width * unshuffle, value_range=(float(low), float(high)))
