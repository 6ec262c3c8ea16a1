"""Priors read from a model folder on disk or on the Hugging Face hub."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.registries import PRIORS
from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.control_images import NEEDS, control_image
from framework.diffusion.embedding_cache import EmbeddingCache, text_key
from framework.diffusion.families.catalog import family_of, load_model
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.controlnet import ControlNet, ControlNetSettings
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel
from framework.diffusion.families.names import traits_of_name
from framework.diffusion.families.options import DTYPES, LoadOptions
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

log = logging.getLogger(__name__)


@PRIORS.register("pretrained")
class PretrainedPrior(ModelPrior):
    """A diffusers text-to-image model: Stable Diffusion 1, 2, XL and 3, FLUX.1, DeepFloyd IF, InstructPix2Pix.

    Its text encoders are read when a prompt is not among the embeddings of earlier runs, and leave memory after it.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        model: str
        """Folder in the layout of diffusers, hub id, or short name such as `stable-diffusion-1.5`, `sdxl` or `flux.1-dev`."""
        revision: str | None = None
        """Branch, tag or commit on the hub; short names have one of their own where it is known."""
        variant: str | None = None
        """Which weight files to read, such as `fp16` for `*.fp16.safetensors`."""
        local_files_only: bool = False
        """Use what was downloaded before, without asking the hub."""
        dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
        """Precision of the denoiser and the text encoders; auto is float32 on a CPU and elsewhere the half precision that
        the model was published in."""
        image_size: int | None = None
        """Side of the model's images in pixels; by default that of its training."""
        embedded_guidance_scale: float | None = None
        """Guidance scale that a guidance-distilled model is told as an input; by default its own (3.5 for FLUX.1-dev). Use
        it with a `guidance_scale` of 1, so that no unconditional row is evaluated."""
        autoencoder: str | None = None
        """Folder or hub id of an AutoencoderTiny (such as `madebyollin/taesd`) in place of the model's own autoencoder: many
        times faster, and less exact."""
        vae_slicing: bool = False
        """Let the autoencoder work on one image at a time, which saves memory."""
        vae_tiling: bool = False
        """Let the autoencoder work on one tile at a time of images larger than those of its training, which saves memory."""
        channels_last: bool = False
        """Lay the convolutions of denoiser and autoencoder out channels innermost, which GPUs with tensor cores prefer."""
        attention_backend: Literal["flash", "efficient", "cudnn", "math"] | None = None
        """The kernel of torch that computes the denoiser's attention; by default torch chooses."""
        layerwise_storage: Literal["none", "float8_e4m3fn"] = "none"
        """Keep the denoiser's weights in 8 bits and let each layer widen its own when it is called: half the memory."""
        offload: Literal["none", "group"] = "none"
        """Keep the denoiser's weights in the CPU's memory and bring each layer to the GPU when it is called."""
        long_prompt: Literal["cut", "chunk"] = "cut"
        """Prompts that a CLIP encoder cannot read at once (77 tokens) are cut, or read in chunks whose tokens the denoiser is
        shown one after another. Models with T5 (SD 3, FLUX.1, DeepFloyd IF) read 77 to 512 tokens of it and cut the rest."""
        keep_text_encoder: bool = False
        """Keep the text encoders in memory, for many prompts that are asked for one after another."""
        cache_embeddings: bool = True
        """Keep embeddings of prompts on disk, in the user's cache directory or DISTILL3D_CACHE_DIR."""

        controlnet: ControlNetSettings = field(default_factory=lambda: ControlNetSettings())
        """A ControlNet beside the UNet of Stable Diffusion 1 or 2, which follows what the render shows."""

    config: Config

    def __init__(self, config: Config, *, device: torch.device) -> None:
        folder = ModelFolder.open(
            config.model,
            revision=config.revision,
            variant=config.variant,
            local_files_only=config.local_files_only,
        )
        options = _options(config, device)
        model = load_model(folder, options)
        if config.controlnet.folder is not None:
            model = _with_controlnet(model, config.controlnet, options, local_files_only=config.local_files_only)
        if config.embedded_guidance_scale is not None and model.embedded_guidance_scale is None:
            log.warning("Model '%s' is told no guidance scale: 'embedded_guidance_scale' is ignored.", config.model)
        elif config.embedded_guidance_scale is not None:
            model.embedded_guidance_scale = config.embedded_guidance_scale
        super().__init__(config, device=device, model=model)
        self._key = text_key(folder, dtype=model.precision(options)) if config.cache_embeddings else None

    @classmethod
    def traits_of(cls, config: Any) -> Traits | None:
        """As a folder's own configuration says, or by a short name; of a hub id nothing is known before it is read."""
        named = traits_of_name(config.model)
        if named is not None or not Path(config.model).expanduser().exists():
            return named
        folder = ModelFolder.open(config.model)
        return family_of(folder).traits(folder)

    @classmethod
    def needs_of(cls, config: Any) -> frozenset[Buffer]:
        """What the ControlNet's image is made of."""
        return frozenset() if config.controlnet.kind is None else NEEDS[config.controlnet.kind]

    def control_image(self, render: RenderOutput, views: Views) -> Float[Tensor, "B H W 3"] | None:
        """As the ControlNet's kind says."""
        kind, codec = self.config.controlnet.kind, self.model.codec
        if kind is None:
            return None
        assert isinstance(codec, LatentCodec)
        return control_image(kind, render, views.cameras, size=codec.image_size)

    def encode_text(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embeddings of earlier runs, and by the model's text encoders where there are none."""
        if self._key is None:
            return self.model.encode_text(prompts)
        found: dict[str, TextEmbedding] = {}
        by_chunks: dict[int, list[str]] = {}
        for prompt in prompts:
            by_chunks.setdefault(self.model.num_chunks(prompt), []).append(prompt)
        # One call for prompts of one length: beside longer ones they would be kept in the length of these.
        for count, group in by_chunks.items():
            key = self._key if count == 1 else {**self._key, "chunks": str(count)}
            cache = EmbeddingCache(self.model.embedding, key)
            embedding = cache.encode(group, self.model.encode_text, device=self.device)
            found |= {prompt: embedding[index] for index, prompt in enumerate(group)}
        return self.model.embedding.concatenate([found[prompt] for prompt in prompts])


def _with_controlnet(
    model: TextToImageModel, settings: ControlNetSettings, options: LoadOptions, *, local_files_only: bool
) -> UNetModel:
    assert settings.folder is not None
    if not isinstance(model, UNetModel) or model.codec.space != "latent":
        raise UserError(
            "controlnet: one can stand beside Stable Diffusion 1 and 2 only, which this model is not. Remove it, or use "
            "such a model."
        )
    model.control = ControlNet.load(
        settings.folder,
        model.unet,
        dtype=model.precision(options),
        options=options,
        scale=settings.scale,
        local_files_only=local_files_only,
    )
    return model


def _options(config: PretrainedPrior.Config, device: torch.device) -> LoadOptions:
    autoencoder = None
    if config.autoencoder is not None:
        autoencoder = ModelFolder.open(config.autoencoder, local_files_only=config.local_files_only, is_component=True)
    return LoadOptions(
        device=device,
        dtype=DTYPES.get(config.dtype),
        image_size=config.image_size,
        keep_text_encoder=config.keep_text_encoder,
        attention_backend=config.attention_backend,
        channels_last=config.channels_last,
        layerwise_storage=config.layerwise_storage,
        offload=config.offload,
        vae_slicing=config.vae_slicing,
        vae_tiling=config.vae_tiling,
        autoencoder=autoencoder,
        long_prompt=config.long_prompt,
    )
