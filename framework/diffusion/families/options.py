"""How a model lies in memory and computes: options that mean the same for every family."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from framework.diffusion.families.folder import ModelFolder

log = logging.getLogger(__name__)

AttentionKernel = Literal["flash", "efficient", "cudnn", "math"]
LongPrompt = Literal["cut", "chunk"]

KERNELS: dict[AttentionKernel, SDPBackend] = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Precisions by their names in configs; `auto` is not among them and leaves the choice to the model."""
STORAGE = {"float8_e4m3fn": torch.float8_e4m3fn}


@dataclass(kw_only=True, frozen=True)
class LoadOptions:
    """What is asked for when a model is loaded.

    Attributes:
        device: Where it is to live.
        dtype: Precision of the denoiser and the text encoders; None is float32 on a CPU and elsewhere the half precision
            that the model was published in.
        image_size: Side of its images in pixels, if not that of its training.
        keep_text_encoder: Whether text encoders stay in memory; otherwise they are read again for each call.
        attention_backend: The kernel of torch that computes attention in the denoiser; None leaves the choice to torch.
        channels_last: Whether the weights of convolutions, and what flows through them, lie channel by channel innermost.
        layerwise_storage: The type that the denoiser's weights are kept in between the calls of its layers.
        offload: Whether the denoiser's layers lie in the CPU's memory and visit the GPU when their turn comes.
        vae_slicing: Whether the autoencoder works on one image at a time.
        vae_tiling: Whether it works on one tile at a time of images larger than those of its training.
        autoencoder: A folder with a `diffusers.AutoencoderTiny` that takes the place of the model's own autoencoder.
        long_prompt: Whether prompts that a CLIP encoder cannot read at once are cut, or read in chunks; None for models
            that leave no choice.
    """

    device: torch.device
    dtype: torch.dtype | None = None
    image_size: int | None = None
    keep_text_encoder: bool = True
    attention_backend: AttentionKernel | None = None
    channels_last: bool = False
    layerwise_storage: Literal["none", "float8_e4m3fn"] = "none"
    offload: Literal["none", "group"] = "none"
    vae_slicing: bool = False
    vae_tiling: bool = False
    autoencoder: ModelFolder | None = None
    long_prompt: LongPrompt | None = None

    @property
    def moves_weights(self) -> bool:
        """Whether hooks bring the denoiser's weights into place, so that a copy of it would not find them."""
        return self.layerwise_storage != "none" or self.offload != "none"

    def check(self, dtype: torch.dtype) -> None:
        """See that the device can do what is asked for.

        Raises:
            ValueError: If it cannot.
        """
        if self.offload != "none" and self.device.type != "cuda":
            raise ValueError(
                f"offload '{self.offload}' moves weights between a GPU and the CPU's memory, but the device is "
                f"'{self.device}'. Use 'none'."
            )
        if self.attention_backend is not None:
            _check_kernel(self.attention_backend, dtype=dtype, device=self.device)

    def ignore_chunks(self, length: int) -> None:
        """Say that prompts are cut all the same, for a model that reads `length` tokens of T5 and was trained with no more."""
        if self.long_prompt == "chunk":
            message = "long_prompt 'chunk' is ignored: this model reads %d tokens of T5; what is longer is cut."
            log.warning(message, length)

    def refuse_autoencoder(self) -> None:
        """Refuse what is asked of an autoencoder, for a model that has none.

        Raises:
            ValueError: If anything is.
        """
        asked = {"vae_slicing": self.vae_slicing, "vae_tiling": self.vae_tiling, "autoencoder": self.autoencoder}
        names = [f"`{name}`" for name, value in asked.items() if value]
        if names:
            raise ValueError(f"it works on pixels and has no autoencoder; remove {' and '.join(names)}.")


def load_denoiser(folder: ModelFolder, component: str, kind: Any, *, dtype: torch.dtype, options: LoadOptions) -> Any:
    """The denoiser of a model folder, laid out in memory as the options say.

    Args:
        component: Its name.
        kind: Its class, of diffusers.
        dtype: What it computes in.
    """
    # Weights that are to visit the GPU one by one might not fit there together.
    home = options.device if options.offload == "none" else torch.device("cpu")
    model = folder.load(component, kind, dtype=dtype, device=home)
    if options.channels_last:
        model.to(memory_format=torch.channels_last)
    if options.layerwise_storage != "none":  # before group offload, which moves what is stored
        model.enable_layerwise_casting(storage_dtype=STORAGE[options.layerwise_storage], compute_dtype=dtype)
    if options.offload == "group":
        model.enable_group_offload(options.device, home, offload_type="leaf_level", use_stream=True)
    return model


def _check_kernel(name: AttentionKernel, *, dtype: torch.dtype, device: torch.device) -> None:
    probe = torch.zeros(1, 1, 64, 64, dtype=dtype, device=device)
    try:
        with sdpa_kernel(KERNELS[name]):
            F.scaled_dot_product_attention(probe, probe, probe)
    except RuntimeError as error:
        precision = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"attention_backend '{name}' cannot compute in {precision} on '{device}': {error} Leave it out, or use another "
            f"of {', '.join(KERNELS)}."
        ) from error
