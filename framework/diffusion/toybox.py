"""The network prior that comes with the project: a small text-to-image model of toybox scenes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch

from framework.core.errors import UserError
from framework.core.registries import PRIORS
from framework.diffusion.families.folder import INDEX, ModelFolder
from framework.diffusion.families.options import DTYPES, LoadOptions
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.prior import Prior
from framework.diffusion.traits import Traits

CARD = "card.json"


@PRIORS.register("toybox")
class ToyboxPrior(ModelPrior):
    """The bundled text-to-image model of toybox scenes, 64 x 64 pixels; runs on any machine without a download.

    Attributes:
        card: What `card.json` says: vocabulary, distributions of the training images, recipe and measured quality.
    """

    @dataclass(kw_only=True, frozen=True)
    class Config(Prior.Config):
        folder: str | None = None
        """Other weights of the same kind, such as the output of a training run; by default the bundled ones."""
        dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
        """Precision of the denoiser and the text encoder; auto is float32 on a CPU and float16 elsewhere."""

    def __init__(self, config: Config, *, device: torch.device) -> None:
        folder = _open(config)
        self.card = read_card(folder.path)
        # A tenth faster on a CPU than channels outermost, with the same answers.
        options = LoadOptions(device=device, dtype=DTYPES.get(config.dtype), channels_last=True)
        model = UNetModel.load(folder, options)
        super().__init__(config, device=device, model=model)

    @classmethod
    def traits_of(cls, config: Any) -> Traits:
        """As its folder says."""
        return UNetModel.traits(_open(config))

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that no training caption has."""
        known = set(self.card["vocabulary"])
        return [word for word in words_of(prompt) if word not in known]


def _open(config: ToyboxPrior.Config) -> ModelFolder:
    path = folder_of(config)
    if not (path / INDEX).is_file():
        raise UserError(
            f"The weights of the toybox prior are not at '{path}'. Train them with "
            "'python launch.py --config configs/toybox/prior.yaml', or use 'prior: oracle', which needs none."
        )
    return ModelFolder.open(str(path))


def folder_of(config: ToyboxPrior.Config) -> Path:
    """Where the weights lie that a config names, the bundled ones by default."""
    return bundled_folder() if config.folder is None else Path(config.folder).expanduser()


def bundled_folder() -> Path:
    """Where the weights lie that come with the package."""
    return Path(str(resources.files("framework.toybox"))) / "prior"


def read_card(folder: Path) -> dict[str, Any]:
    """The card in a folder of toybox weights.

    Raises:
        UserError: If it is missing, unreadable or names no vocabulary.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{path}', which belongs to the weights of the toybox prior, cannot be read: {error}"
        ) from error
    if not isinstance(card, dict) or not isinstance(card.get("vocabulary"), list):
        raise UserError(f"'{path}' does not list the vocabulary of the toybox prior.")
    return card


def words_of(prompt: str) -> list[str]:
    """The prompt's words in lower case, without punctuation, each once, in order."""
    return list(dict.fromkeys(re.findall(r"[^\s,.]+", prompt.lower())))
