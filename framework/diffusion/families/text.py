"""The text side of Stable Diffusion and its relatives: a CLIP text encoder whose hidden states are attended to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.families.folder import ModelFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class HiddenStates(TextEmbedding):
    """One vector for each of L tokens of a prompt."""

    states: Float[Tensor, "*batch L D"]


class ClipText:
    """A CLIP tokenizer with its text model.

    Args:
        tokenizer: A `transformers.CLIPTokenizer`.
        encoder: A `transformers.CLIPTextModel`.
    """

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.max_length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)

    @classmethod
    def load(cls, folder: ModelFolder, *, dtype: torch.dtype, device: torch.device) -> ClipText:
        """The tokenizer and text encoder of a model folder."""
        from transformers import CLIPTextModel, CLIPTokenizer

        folder.require("tokenizer", ["CLIPTokenizer", "CLIPTokenizerFast"])
        folder.require("text_encoder", ["CLIPTextModel"])
        folder.read("tokenizer", "tokenizer_config.json")
        tokenizer = CLIPTokenizer.from_pretrained(str(folder.path), subfolder="tokenizer", local_files_only=True)
        return cls(tokenizer, folder.load("text_encoder", CLIPTextModel, dtype=dtype, device=device))

    def tokenize(self, prompts: Sequence[str]) -> Int[Tensor, "N L"]:
        """Token ids, padded to the model's length; longer prompts are cut, with a warning that names what is lost."""
        batch = self.tokenizer(
            list(prompts), padding="max_length", max_length=self.max_length, truncation=True, return_tensors="pt"
        )
        for prompt, whole in zip(prompts, self.tokenizer(list(prompts), verbose=False).input_ids, strict=True):
            if len(whole) > self.max_length:
                log.warning("The prompt '%s' has %d tokens; only %d are read.", prompt, len(whole), self.max_length)
        ids: Tensor = batch.input_ids
        return ids

    def encode(self, prompts: Sequence[str]) -> HiddenStates:
        """Embeddings of the prompts, on the encoder's device."""
        with torch.no_grad():
            return HiddenStates(self.encoder(self.tokenize(prompts).to(self.encoder.device)).last_hidden_state)
