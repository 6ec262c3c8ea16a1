"""The contract of diffusion priors: a frozen model that says which images are likely."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.component import Component
from framework.core.registries import PRIORS
from framework.diffusion.conditions import Conditions, TextEmbedding
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Parameterization, Prediction
from framework.diffusion.traits import Traits
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views


@runtime_checkable
class Denoiser(Protocol):
    """Anything that predicts: a prior, or an adapter of one."""

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """The answer under each of the K conditions."""


class Prior(Component, ABC):
    """A frozen diffusion model.

    Deliberately not an `nn.Module`: assigned to a guidance or a system it is no submodule of it, so its weights are in
    no checkpoint, in no optimizer and in no gradient bucket of distributed training.

    Attributes:
        schedule: Shares of signal and noise at its training timesteps.
        space: Whether its samples are pixels or latents of an autoencoder.
        sample_shape: (C, h, w) of one sample.
        parameterization: The meaning of the denoiser's raw output.
        takes_camera: Whether conditions with a camera mean anything to it.
        is_guidance_distilled: Whether its answers under the prompt alone are guided already, as those of FLUX.1 are.
        device: Where it lives, for good: embeddings that were made with it are there too.
    """

    schedule: NoiseSchedule
    space: Literal["latent", "pixel"]
    sample_shape: tuple[int, int, int]
    parameterization: Parameterization
    takes_camera: bool
    is_guidance_distilled: bool = False
    device: torch.device

    @dataclass(kw_only=True, frozen=True)
    class Config(Component.Config):
        pass

    def __init__(self, config: Config, *, device: torch.device) -> None:
        self.config = config
        self.device = device

    @classmethod
    def traits_of(cls, config: Any) -> Traits | None:
        """What is known of the prior that `config` describes without reading its weights; None if nothing is."""
        return None

    @property
    def traits(self) -> Traits:
        """What it can be asked."""
        return Traits(space=self.space, takes_camera=self.takes_camera)

    @abstractmethod
    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Samples of images in [0, 1], sRGB, of any size; differentiable."""

    @abstractmethod
    def decode(self, samples: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Images in [0, 1], sRGB, of samples."""

    @abstractmethod
    def encode_text(self, prompts: Sequence[str]) -> TextEmbedding:
        """Embeddings of the prompts, in their order; the empty prompt is the unconditional one."""

    @abstractmethod
    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """The denoiser's answer under each of the K conditions; `raw` is (K, B, C, h, w)."""

    @classmethod
    def needs_of(cls, config: Any) -> frozenset[Buffer]:
        """What `control_image` reads of a render."""
        return frozenset()

    def control_image(self, render: RenderOutput, views: Views) -> Float[Tensor, "B H W 3"] | None:
        """What conditions show a ControlNet of a render, in [0, 1] and without gradients; None where there is no such part."""
        return None

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the prior has never seen; empty where its vocabulary is open."""
        return []

    def null_conditions(self, batch_size: int) -> Conditions:
        """The unconditional condition (K = 1) for `batch_size` samples of no known view."""
        index = torch.zeros(1, batch_size, dtype=torch.long, device=self.device)
        return Conditions(self.encode_text([""])[index], torch.ones(1, batch_size, device=self.device))


_loaded: weakref.WeakValueDictionary[tuple[str, str], Prior] = weakref.WeakValueDictionary()


def load_prior(config: Prior.Config, device: torch.device) -> Prior:
    """The prior that `config` describes; one that is loaded already and still in use is shared, not loaded again."""
    key = (repr(config), str(device))
    prior = _loaded.get(key)
    if prior is None:
        prior = PRIORS.build(config, device=device)
        _loaded[key] = prior
    return prior
