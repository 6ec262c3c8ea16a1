"""Priors read from a model folder on disk or on the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from framework.core.registries import PRIORS
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prior import Prior


@PRIORS.register("pretrained")
class PretrainedPrior(ModelPrior):
    """Any diffusers model with a UNet2DConditionModel and a CLIP text encoder, by folder or hub id."""

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        model: str
        """Folder in the layout of diffusers, or hub id such as `stable-diffusion-v1-5/stable-diffusion-v1-5`."""
        revision: str | None = None
        """Branch, tag or commit on the hub."""
        variant: str | None = None
        """Which weight files to read, such as `fp16` for `*.fp16.safetensors`."""
        dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
        """Precision of the denoiser and the text encoder; auto is float32 on a CPU and float16 elsewhere."""

    def __init__(self, config: Config, *, device: torch.device) -> None:
        folder = ModelFolder.open(config.model, revision=config.revision, variant=config.variant)
        model = UNetModel.load(folder, dtype=choose_dtype(config.dtype, device), device=device)
        super().__init__(config, device=device, model=model)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision called `name`; `auto` is float32 on a CPU and float16 elsewhere."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]
