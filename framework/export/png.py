"""Colour images as PNG bytes, and back."""

from __future__ import annotations

import io

import imageio.v3 as imageio
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def encode_png(image: Float[Tensor, "H W 3"]) -> bytes:
    """An image in [0, 1] as an 8-bit PNG file, values unconverted."""
    levels = (image.detach().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()
    return bytes(imageio.imwrite("<bytes>", levels, plugin="pillow", extension=".png"))


def decode_png(data: bytes) -> Float[Tensor, "H W 3"]:
    """The image in [0, 1] of a PNG file; an alpha channel is ignored.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        levels = imageio.imread(io.BytesIO(data), plugin="pillow", mode="RGB")
    except (OSError, SyntaxError) as error:  # Pillow reports broken chunks as SyntaxError
        raise ValueError(f"not a readable PNG image ({error})") from error
    return torch.from_numpy(np.ascontiguousarray(levels)).float() / 255.0
