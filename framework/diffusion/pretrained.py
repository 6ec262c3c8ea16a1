"""Priors read from a model folder on disk or on the Hugging Face hub."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from framework.core.registries import PRIORS
from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.embedding_cache import EmbeddingCache, text_key
from framework.diffusion.families.catalog import family_of, load_model
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.names import traits_of_name
from framework.diffusion.families.options import LoadOptions
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@PRIORS.register("pretrained")
class PretrainedPrior(ModelPrior):
    """A diffusers text-to-image model: Stable Diffusion 1, 2, XL and 3, FLUX.1, DeepFloyd IF stage I.

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
        keep_text_encoder: bool = False
        """Keep the text encoders in memory, for many prompts that are asked for one after another."""
        cache_embeddings: bool = True
        """Keep embeddings of prompts on disk, in the user's cache directory or DISTILL3D_CACHE_DIR."""

    def __init__(self, config: Config, *, device: torch.device) -> None:
        folder = ModelFolder.open(
            config.model,
            revision=config.revision,
            variant=config.variant,
            local_files_only=config.local_files_only,
        )
        options = _options(config, device)
        model = load_model(folder, options)
        if config.embedded_guidance_scale is not None and model.embedded_guidance_scale is None:
            log.warning("Model '%s' is told no guidance scale: 'embedded_guidance_scale' is ignored.", config.model)
        elif config.embedded_guidance_scale is not None:
            model.embedded_guidance_scale = config.embedded_guidance_scale
        super().__init__(config, device=device, model=model)
        self._cache = None
        if config.cache_embeddings:
            self._cache = EmbeddingCache(model.embedding, text_key(folder, dtype=model.precision(options)))

    @classmethod
    def traits_of(cls, config: Any) -> Traits | None:
        """As a folder's own configuration says, or by a short name; of a hub id nothing is known before it is read."""
        named = traits_of_name(config.model)
        if named is not None or not Path(config.model).expanduser().exists():
            return named
        folder = ModelFolder.open(config.model)
        return family_of(folder).traits(folder)

    def encode_text(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embeddings of earlier runs, and by the model's text encoders where there are none."""
        if self._cache is None:
            return self.model.encode_text(prompts)
        return self._cache.encode(prompts, self.model.encode_text, device=self.device)


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
    )
