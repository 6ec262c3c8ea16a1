"""What a prior can be asked, as far as it is known before its weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What decides whether a guidance and a prior fit together.

    Attributes:
        space: Whether its samples are pixels or latents of an autoencoder.
        takes_camera: Whether conditions with a camera mean anything to it.
        has_unet: Whether it has a UNet, which an adapter can begin as.
        takes_image: Whether it edits an image that conditions show it.
    """

    space: Literal["latent", "pixel"]
    takes_camera: bool = False
    has_unet: bool = False
    takes_image: bool = False
