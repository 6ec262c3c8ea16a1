"""How a diffusion model sees images: as pixels of some range, or as latents of an autoencoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from framework.diffusion.images import images_to_samples, samples_to_images


class Codec(ABC):
    """Images (B, H, W, 3) in [0, 1] to samples and back."""

    space: Literal["latent", "pixel"]
    sample_shape: tuple[int, int, int]

    @abstractmethod
    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Samples; differentiable."""

    @abstractmethod
    def decode(self, samples: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Images."""


class PixelCodec(Codec):
    """Samples are images of one size, scaled to a range of values."""

    space = "pixel"

    def __init__(self, height: int, width: int, *, value_range: tuple[float, float] = (-1.0, 1.0)) -> None:
        self.sample_shape = (3, height, width)
        self._low, self._high = value_range

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B 3 h w"]:
        """Images resized and scaled."""
        samples = images_to_samples(images, height=self.sample_shape[1], width=self.sample_shape[2])
        return self._low + (self._high - self._low) * 0.5 * (samples + 1.0)

    def decode(self, samples: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w 3"]:
        """Samples scaled back and clamped."""
        return samples_to_images(2.0 * (samples - self._low) / (self._high - self._low) - 1.0)


class LatentCodec(Codec):
    """Samples are latents of a `diffusers.AutoencoderKL`.

    It runs in float32 whatever the denoiser's precision: the gradients of a mean over all latents are too small for half
    precision. Images become the mode of their latent distribution, so that nothing is drawn here.

    Args:
        autoencoder: The model.
        height, width: Size of the latents.
    """

    space = "latent"

    def __init__(self, autoencoder: Any, height: int, width: int) -> None:
        config = autoencoder.config
        self.autoencoder = autoencoder
        self.sample_shape = (config.latent_channels, height, width)
        self._factor = 2 ** (len(config.block_out_channels) - 1)
        self._scale = float(config.scaling_factor)
        self._shift = float(config.shift_factor or 0.0)

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Latents of images resized to the autoencoder's input, shifted and scaled to unit variance."""
        _, height, width = self.sample_shape
        samples = images_to_samples(images, height=self._factor * height, width=self._factor * width)
        latents: Tensor = self.autoencoder.encode(samples).latent_dist.mode()
        return (latents - self._shift) * self._scale

    def decode(self, samples: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Images of latents."""
        return samples_to_images(self.autoencoder.decode(samples / self._scale + self._shift).sample)
