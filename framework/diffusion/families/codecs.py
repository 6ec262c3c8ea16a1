"""How a diffusion model sees images: as pixels of some range, or as latents of an autoencoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.options import LoadOptions
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
    """Samples are latents of a `diffusers.AutoencoderKL`, or of an `AutoencoderTiny` that imitates one.

    The latents of a tiny one are at unit scale already, which its own config says.

    It runs in float32 whatever the denoiser's precision: the gradients of a mean over all latents are too small for half
    precision. Images become the mode of their latent distribution, so that nothing is drawn here.

    Args:
        autoencoder: The model.
        height, width: Size of the latents.

    Raises:
        ValueError: If its latents are normalised in a way that is not supported.
    """

    space = "latent"

    def __init__(self, autoencoder: Any, height: int, width: int) -> None:
        config = autoencoder.config
        if config.get("latents_mean") is not None or config.get("latents_std") is not None:
            raise ValueError("its vae normalises each channel of the latents on its own, which is not supported.")
        self.autoencoder = autoencoder
        self.sample_shape = (config.latent_channels, height, width)
        self._factor = _downscaling(config)
        self._is_tiny = "latent_magnitude" in config
        self._scale = float(config.scaling_factor)
        self._shift = float(config.shift_factor or 0.0)

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        options: LoadOptions,
        *,
        default_size: tuple[int, int],
        patch_size: int = 1,
    ) -> LatentCodec:
        """The codec of a model folder, or the one that the options name in its place.

        Args:
            default_size: Height and width of the latents that the model was trained with.
            patch_size: Side of the blocks of latents that the denoiser works on.

        Raises:
            ValueError: If images of the size that is asked for do not divide into whole latents and blocks, or the
                autoencoder in the model's place makes other latents.
        """
        autoencoder = _load_autoencoder(folder, options)
        if options.image_size is None:
            return cls(autoencoder, *default_size)
        size = patch_size * blocks_across(options.image_size, side=patch_size * _downscaling(autoencoder.config))
        return cls(autoencoder, size, size)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of its images, pixels."""
        return self._factor * self.sample_shape[1], self._factor * self.sample_shape[2]

    def encode(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """Latents of images resized to the autoencoder's input, shifted and scaled to unit variance."""
        return (self.latents(images) - self._shift) * self._scale

    def latents(self, images: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B C h w"]:
        """The most likely latents of resized images as the autoencoder makes them, neither shifted nor scaled."""
        height, width = self.image_size
        samples = images_to_samples(images, height=height, width=width)
        encoded = self.autoencoder.encode(samples)
        latents: Tensor = encoded.latents if self._is_tiny else encoded.latent_dist.mode()
        return latents

    def decode(self, samples: Float[Tensor, "B C h w"]) -> Float[Tensor, "B H W 3"]:
        """Images of latents."""
        return samples_to_images(self.autoencoder.decode(samples / self._scale + self._shift).sample)


def stated_size(sample_size: int | Sequence[int] | None) -> tuple[int, int]:
    """Height and width of samples that the `sample_size` of a denoiser's config means.

    Raises:
        ValueError: If it states none.
    """
    if sample_size is None:
        raise ValueError("its denoiser's config does not state a sample_size.")
    height, width = (sample_size, sample_size) if isinstance(sample_size, int) else sample_size
    return height, width


def blocks_across(image_size: int, *, side: int) -> int:
    """Number of blocks of `side` pixels in a row of an image.

    Raises:
        ValueError: If it is no whole number.
    """
    if image_size < side or image_size % side != 0:
        raise ValueError(f"image_size {image_size} does not fit, because it works on blocks of {side} pixels.")
    return image_size // side


def _downscaling(config: Mapping[str, Any]) -> int:
    """Pixels across one latent, from the config of an autoencoder of either kind."""
    blocks = config["encoder_block_out_channels" if "encoder_block_out_channels" in config else "block_out_channels"]
    factor: int = 2 ** (len(blocks) - 1)
    return factor


def _load_autoencoder(folder: ModelFolder, options: LoadOptions) -> Any:
    from diffusers import AutoencoderKL, AutoencoderTiny

    folder.require("vae", ["AutoencoderKL"])
    other = options.autoencoder
    if other is None:
        autoencoder = folder.load("vae", AutoencoderKL, dtype=torch.float32, device=options.device)
    else:
        _check_stand_in(other.index, folder.read("vae"), options)
        autoencoder = other.load("", AutoencoderTiny, dtype=torch.float32, device=options.device)
    if options.channels_last:
        autoencoder.to(memory_format=torch.channels_last)
    if options.vae_slicing:
        autoencoder.enable_slicing()
    if options.vae_tiling:
        autoencoder.enable_tiling()
    return autoencoder


def _check_stand_in(config: Mapping[str, Any], own: Mapping[str, Any], options: LoadOptions) -> None:
    kind = config.get("_class_name")
    if kind != "AutoencoderTiny":
        raise ValueError(f"the autoencoder in place of its vae is a {kind}; supported is AutoencoderTiny.")
    channels, factor = config["latent_channels"], _downscaling(config)
    if (channels, factor) != (own["latent_channels"], _downscaling(own)):
        raise ValueError(
            f"the autoencoder in place of its vae makes latents of {channels} channels, one for {factor} pixels across; its "
            f"own are of {own['latent_channels']}, one for {_downscaling(own)}."
        )
    if options.vae_tiling and (channels, factor) != (4, 8):  # as is written into the tiling of diffusers
        raise ValueError(
            "vae_tiling does not work with a tiny autoencoder that makes no latents of 4 channels, one for 8 pixels."
        )
