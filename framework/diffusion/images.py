"""Images (B, H, W, 3) in [0, 1] and samples (B, 3, h, w) in [-1, 1]: the two layouts at the edge of a diffusion model."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def images_to_samples(images: Float[Tensor, "B H W 3"], *, height: int, width: int) -> Float[Tensor, "B 3 h w"]:
    """Images resized to (height, width) and scaled to [-1, 1]; differentiable."""
    return 2.0 * resize(images.permute(0, 3, 1, 2), height=height, width=width) - 1.0


def samples_to_images(samples: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B h w 3"]:
    """Samples as images, clamped to [0, 1]."""
    return (0.5 * samples + 0.5).clamp(0.0, 1.0).permute(0, 2, 3, 1)


def resize(images: Float[Tensor, "B C H W"], *, height: int, width: int) -> Float[Tensor, "B C h w"]:
    """Images at another size: box averages where it divides the old one, else bilinear, antialiased when shrinking."""
    if images.shape[-2:] == (height, width):
        return images
    if images.shape[-2] % height == 0 and images.shape[-1] % width == 0:
        return F.interpolate(images, size=(height, width), mode="area")
    is_shrinking = height < images.shape[-2] or width < images.shape[-1]
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=is_shrinking)
