"""Trainable companions of a frozen network prior: low-rank layers (LoRA, arXiv:2106.09685) and a camera of their own."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from framework.core.errors import UserError
from framework.diffusion.camera_vector import CAMERA_ENCODINGS
from framework.diffusion.conditions import Conditions, TextEmbedding
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prediction import Prediction
from framework.diffusion.prior import Prior

NAME = "adapter"


@dataclass(kw_only=True, frozen=True)
class AdapterSettings:
    """What is trained beside a frozen denoiser."""

    rank: int = 4
    """Rank of the low-rank layers."""
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the layers that get one; by default the projections of all attention layers."""
    camera: Literal["angles", "extrinsics", "projection", "spherical", "none"] = "extrinsics"
    """How it is told the camera; `angles` are those of the toybox prior, `projection` is the model-view-projection matrix."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank: expected at least 1, got {self.rank}.")


NO_UNET = (
    "an adapter needs a prior with the UNet of Stable Diffusion or of the toybox, which closed forms and transformers are "
    "not. Name one as the `particle_prior`, such as 'toybox'."
)


class Adapter(nn.Module):
    """A denoiser that begins as the prior's own and learns; both share the frozen weights.

    Its parameters are the trainable ones alone, so that a checkpoint does not hold the prior. Low-rank layers begin as
    zero and so does the camera's influence: an untrained adapter predicts what the prior does for a withheld camera.
    """

    def __init__(self, prior: Prior, settings: AdapterSettings, *, generator: torch.Generator) -> None:
        """Build the layers.

        Args:
            prior: With a UNet.
            settings: What is trained.
            generator: On the CPU; draws the initial values.

        Raises:
            UserError: If the prior has no UNet, or no layer is called as the settings say.
        """
        super().__init__()
        if not isinstance(prior, ModelPrior) or not isinstance(prior.model, UNetModel):
            raise UserError(NO_UNET)
        if prior.model.moves_weights:
            raise UserError(
                "An adapter shares the prior's weights, which must stay where they are for that: set `layerwise_storage` "
                "and `offload` of the prior to 'none'."
            )
        encoding = None if settings.camera == "none" else CAMERA_ENCODINGS[settings.camera]
        unet = shared_copy(prior.model.unet)
        if encoding is not None:
            unet.class_embedding = AddedCamera(unet, encoding.dim)
        _add_low_rank_layers(unet, settings)
        _initialize(unet, generator)
        self._model = prior.model.with_unet(unet, encoding)
        named = {name: item for name, item in unet.named_parameters() if item.requires_grad}
        self.weights = nn.ParameterDict({name.replace(".", "/"): item for name, item in named.items()})

    def encode_text(self, prompts: list[str]) -> TextEmbedding:
        """Embeddings by the model's text encoder."""
        return self._model.encode_text(prompts)

    def predict(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], conditions: Conditions
    ) -> Prediction:
        """The adapted denoiser's answer under each condition; with gradients to the adapter where they are enabled."""
        return self._model.predict(noisy, timestep, conditions)


class AddedCamera(nn.Module):
    """A class embedding of the camera, added to what the denoiser gets where no camera is told.

    Args:
        unet: Whose class embedding it takes the place of.
        dim: Length of the camera's vector.
    """

    def __init__(self, unet: Any, dim: int) -> None:
        super().__init__()
        width = unet.time_embedding.linear_2.out_features
        self.withheld = unet.class_embedding
        self.withheld_dim = unet.config.projection_class_embeddings_input_dim if self.withheld is not None else 0
        self.hidden = nn.utils.skip_init(nn.Linear, dim, width, device=unet.device)  # `_initialize` fills both.
        self.output = nn.utils.skip_init(nn.Linear, width, width, device=unet.device)

    def forward(self, camera: Float[Tensor, "N E"]) -> Float[Tensor, "N D"]:
        """Embeddings of cameras; a vector of zeros stays without influence of its own but for the bias."""
        embedding: Tensor = self.output(nn.functional.silu(self.hidden(camera.float())))
        if self.withheld is not None:
            embedding = embedding + self.withheld(camera.new_zeros(len(camera), self.withheld_dim))
        return embedding.to(camera.dtype)


def shared_copy(module: nn.Module) -> Any:
    """The module once more, with layers of its own that hold the very same parameters and buffers."""
    kept: list[Tensor] = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in kept})


def _add_low_rank_layers(unet: Any, settings: AdapterSettings) -> None:
    from peft import LoraConfig

    layers = list(settings.layers)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=layers, init_lora_weights=True)
    try:
        with torch.random.fork_rng(devices=[]):  # peft draws values that `_initialize` replaces.
            unet.add_adapter(config, adapter_name=NAME)
    except ValueError as error:  # peft found no layer of these names.
        raise UserError(f"adapter.layers: no layer of the prior's UNet is called {' or '.join(layers)}.") from error


def _initialize(unet: Any, generator: torch.Generator) -> None:
    """Make low-rank layers and the camera trainable in float32, with initial values by the generator."""
    for name, parameter in unet.named_parameters():
        is_camera = name.startswith(("class_embedding.hidden", "class_embedding.output"))
        parameter.requires_grad_(is_camera or ".lora_" in name)
        if not parameter.requires_grad:
            continue
        parameter.data = parameter.data.float()
        if parameter.ndim == 1 or ".lora_B." in name or name.startswith("class_embedding.output"):
            nn.init.zeros_(parameter)
        else:
            bound = 1.0 / math.sqrt(parameter[0].numel())
            values = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            parameter.data.copy_(values)
