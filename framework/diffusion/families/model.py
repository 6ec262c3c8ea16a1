"""The contract of text-to-image models: what a prior asks of one, whatever its architecture.

A family is a subclass that knows how one kind of diffusers pipeline calls its denoiser and its text encoders. It says what
the denoiser is told for N = K * B pairs of condition and noisy sample; the rest is the same for all.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention import sdpa_kernel

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions, TextEmbedding
from framework.diffusion.families.codecs import Codec
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.options import KERNELS, AttentionKernel, LoadOptions
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization, Prediction, scheduler_parameterization
from framework.diffusion.traits import Traits

M = TypeVar("M", bound="TextToImageModel")


class TextToImageModel(ABC):
    """A denoiser with its text encoders, codec and noise schedule.

    Attributes:
        codec: How it sees images.
        schedule: Its training schedule.
        parameterization: What the denoiser's output means.
        takes_camera: Whether it is told the camera where conditions hold one.
        is_guidance_distilled: Whether one answer under the prompt is guided already, so that an unconditional row costs a
            second evaluation and leaves what it was trained for.
        embedded_guidance_scale: The guidance scale that the denoiser is told as an input; None if it takes none.
        attention_backend: The kernel of torch that computes attention in the denoiser; None leaves the choice to torch.
        moves_weights: Whether hooks bring the denoiser's weights into place, so that a copy of it would not find them.
        half: The half precision that it was published in.
        has_unet: Whether its denoiser is a UNet that adapters can begin as.
        takes_image: Whether it edits an image that conditions show it.
        embedding: The record that its text encoders make.
    """

    codec: Codec
    schedule: NoiseSchedule
    parameterization: Parameterization
    takes_camera: bool = False
    is_guidance_distilled: bool = False
    embedded_guidance_scale: float | None = None
    attention_backend: AttentionKernel | None = None
    moves_weights: bool = False
    half: ClassVar[torch.dtype] = torch.float16
    has_unet: ClassVar[bool] = False
    takes_image: ClassVar[bool] = False
    embedding: ClassVar[type[TextEmbedding]]

    @classmethod
    def load(cls: type[M], folder: ModelFolder, options: LoadOptions) -> M:
        """The model in a folder.

        Args:
            folder: Where it lies.
            options: How it is to lie in memory and compute.

        Raises:
            UserError: If the folder is incomplete, a component is of a class or shape that is not supported, or an option
                does not suit the model or the device.
        """
        dtype = cls.precision(options)
        try:
            options.check(dtype)
            model = cls._load(folder, dtype=dtype, options=options)
        except ValueError as error:
            raise UserError(f"Model '{folder.name}': {error}") from error
        model.attention_backend = options.attention_backend
        model.moves_weights = options.moves_weights
        return model

    @classmethod
    def traits(cls, folder: ModelFolder) -> Traits:
        """What the model in a folder can be asked, by its configuration alone."""
        return Traits(
            space="latent" if folder.has("vae") else "pixel", has_unet=cls.has_unet, takes_image=cls.takes_image
        )

    @classmethod
    def precision(cls, options: LoadOptions) -> torch.dtype:
        """What the denoiser and the text encoders compute in."""
        return options.dtype or (torch.float32 if options.device.type == "cpu" else cls.half)

    @classmethod
    @abstractmethod
    def _load(cls: type[M], folder: ModelFolder, *, dtype: torch.dtype, options: LoadOptions) -> M:
        """What `load` returns; a `ValueError` says what is not supported, `load` adds the name of the model."""

    @abstractmethod
    def encode_text(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embeddings of the prompts; the empty prompt is the unconditional one."""

    def num_chunks(self, prompt: str) -> int:
        """How many times the length of a short prompt its embedding has by itself, which depends on the prompt alone."""
        return 1

    @abstractmethod
    def evaluate(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], conditions: Conditions
    ) -> Float[Tensor, "N C h w"]:
        """The denoiser's raw output in float32 for the N = K * B pairs, row after row of the conditions."""

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """One call of the denoiser for all K * B pairs of condition and sample."""
        count = conditions.num_conditions
        kernel = self.attention_backend
        with contextlib.nullcontext() if kernel is None else sdpa_kernel(KERNELS[kernel]):
            raw = self.evaluate(noisy.repeat(count, 1, 1, 1), timestep.repeat(count), conditions)
        alpha, sigma = self.schedule.at(timestep)
        return Prediction(raw.reshape(count, *noisy.shape), noisy, alpha, sigma, self.parameterization)


def load_schedule(folder: ModelFolder) -> tuple[NoiseSchedule, Parameterization]:
    """The training schedule of a model folder, and what the denoiser's output means.

    Raises:
        ValueError: If its denoiser was trained in another form than x_t = alpha x_0 + sigma eps.
    """
    config = folder.read("scheduler", "scheduler_config.json")
    kind = str(config.get("_class_name", ""))
    if kind.startswith("EDM"):
        raise ValueError(f"its scheduler is a {kind}, whose preconditioning is not supported.")
    return NoiseSchedule.from_scheduler_config(config), scheduler_parameterization(config)


def check_config(config: Mapping[str, Any], expected: Mapping[str, Collection[object]]) -> None:
    """Refuse a denoiser whose config differs from what a family supplies.

    Args:
        config: The denoiser's config.
        expected: The values that are supported, by key.

    Raises:
        ValueError: Naming the first key that differs, its value and those that are supported.
    """
    for name, supported in expected.items():
        if config[name] not in supported:
            known = " or ".join(repr(value) for value in supported)
            raise ValueError(f"its denoiser's config says {name} = {config[name]!r}; supported is {known}.")
