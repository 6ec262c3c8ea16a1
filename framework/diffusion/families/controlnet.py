"""ControlNet (arXiv:2302.05543): a copy of a UNet's encoder that is shown an image and adds to the UNet what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import check_config
from framework.diffusion.families.options import LoadOptions, load_denoiser
from framework.diffusion.images import resize


@dataclass(kw_only=True, frozen=True)
class ControlNetSettings:
    """Which ControlNet stands beside the UNet, and what it follows."""

    folder: str | None = None
    """Folder or hub id of a diffusers ControlNetModel for this model, such as `lllyasviel/control_v11p_sd15_normalbae`;
    without one nothing is followed."""
    kind: Literal["depth", "normal", "canny"] | None = None
    """What it was trained to follow: depth, normals or edges, which are made of the render."""
    scale: float = 1.0
    """Factor of what it adds."""

    def __post_init__(self) -> None:
        if (self.folder is None) != (self.kind is None):
            missing = "folder" if self.folder is None else "kind"
            raise ValueError(
                f"{missing} is missing: a ControlNet needs the folder that it lies in and the kind of image."
            )


class ControlNet:
    """The ControlNet of a UNet.

    Args:
        network: A `diffusers.ControlNetModel`.
        unet: The `diffusers.UNet2DConditionModel` that it adds to.
        scale: Factor of what it adds.

    Raises:
        ValueError: If it does not belong to such a UNet, or wants to be told more than an image.
    """

    def __init__(self, network: Any, unet: Any, *, scale: float = 1.0) -> None:
        self.network = network
        self.scale = scale
        like_unet = ("in_channels", "layers_per_block", "cross_attention_dim")
        widths, expected = (list(part.config.block_out_channels) for part in (network, unet))
        if widths != expected:
            raise ValueError(f"its blocks are {widths} channels wide, those of the UNet {expected}.")
        check_config(
            network.config,
            {
                **{name: [unet.config[name]] for name in like_unet},
                "conditioning_channels": [3],
                "addition_embed_type": [None],
                "class_embed_type": [None],
                "encoder_hid_dim_type": [None],
                "global_pool_conditions": [False],
            },
        )

    @classmethod
    def load(
        cls,
        model: str,
        unet: Any,
        *,
        dtype: torch.dtype,
        options: LoadOptions,
        scale: float = 1.0,
        local_files_only: bool = False,
    ) -> ControlNet:
        """The ControlNet in a folder or of a hub id.

        Raises:
            UserError: If it cannot be read, or does not belong to the UNet.
        """
        from diffusers import ControlNetModel

        folder = ModelFolder.open(model, local_files_only=local_files_only, is_component=True)
        kind = folder.index.get("_class_name")
        if kind != "ControlNetModel":
            raise UserError(f"controlnet: '{model}' holds a {kind}; supported is ControlNetModel.")
        network = load_denoiser(folder, "", ControlNetModel, dtype=dtype, options=options)
        try:
            return cls(network, unet, scale=scale)
        except ValueError as error:
            raise UserError(f"controlnet: '{model}' does not fit the model: {error}") from error

    def residuals(
        self,
        noisy: Float[Tensor, "N C h w"],
        times: Float[Tensor, "N"],
        states: Float[Tensor, "N L D"],
        image: Float[Tensor, "N 3 _ _"],
    ) -> dict[str, Any]:
        """What is added to the UNet's skip connections and its middle, by the names of its arguments.

        Args:
            noisy, times, states: What the UNet is called with.
            image: What to follow, in [0, 1], of any size.
        """
        factor = 2 ** (len(self.network.config.conditioning_embedding_out_channels) - 1)
        shown = resize(image, height=factor * noisy.shape[2], width=factor * noisy.shape[3])
        down, middle = self.network(
            noisy,
            times,
            encoder_hidden_states=states,
            controlnet_cond=shown.to(noisy.dtype),
            conditioning_scale=self.scale,
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
