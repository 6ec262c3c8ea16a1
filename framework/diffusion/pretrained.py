"""Priors read from a model folder on disk or on the Hugging Face hub."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import torch

from framework.core.registries import PRIORS
from framework.diffusion.families.catalog import load_model
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prior import Prior

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@PRIORS.register("pretrained")
class PretrainedPrior(ModelPrior):
    """A diffusers text-to-image model by folder or hub id: Stable Diffusion 1, 2, XL and 3, FLUX.1, DeepFloyd IF stage I."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        model: str
        """Folder in the layout of diffusers, or hub id such as `stable-diffusion-v1-5/stable-diffusion-v1-5`."""
        revision: str | None = None
        """Branch, tag or commit on the hub."""
        variant: str | None = None
        """Which weight files to read, such as `fp16` for `*.fp16.safetensors`."""
        dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
        """Precision of the denoiser and the text encoders; auto is float32 on a CPU and elsewhere the half precision that
        the model was published in."""
        image_size: int | None = None
        """Side of the model's images in pixels; by default that of its training."""
        embedded_guidance_scale: float | None = None
        """Guidance scale that a guidance-distilled model is told as an input; by default its own (3.5 for FLUX.1-dev). Use
        it with a `guidance_scale` of 1, so that no unconditional row is evaluated."""

    def __init__(self, config: Config, *, device: torch.device) -> None:
        folder = ModelFolder.open(config.model, revision=config.revision, variant=config.variant)
        model = load_model(folder, dtype=DTYPES.get(config.dtype), device=device, image_size=config.image_size)
        if config.embedded_guidance_scale is not None and model.embedded_guidance_scale is None:
            log.warning("Model '%s' is told no guidance scale: 'embedded_guidance_scale' is ignored.", config.model)
        elif config.embedded_guidance_scale is not None:
            model.embedded_guidance_scale = config.embedded_guidance_scale
        super().__init__(config, device=device, model=model)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision called `name`; `auto` is float32 on a CPU and float16 elsewhere."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return DTYPES[name]
