"""The text sides of diffusion models: CLIP and T5 encoders with their tokenizers.

Some denoisers attend to one vector for each token; others are told one vector for the whole prompt as well.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.stored import StoredModel

log = logging.getLogger(__name__)

VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")


@dataclass(frozen=True, eq=False)
class HiddenStates(TextEmbedding):
    """One vector for each of L tokens of a prompt."""

    states: Float[Tensor, "*batch L D"]


@dataclass(frozen=True, eq=False)
class PooledStates(TextEmbedding):
    """One vector for each of L tokens of a prompt, and one for the whole of it."""

    states: Float[Tensor, "*batch L D"]
    pooled: Float[Tensor, "*batch P"]


class ClipText:
    """A CLIP tokenizer with its text model.

    Args:
        tokenizer: A `transformers.CLIPTokenizer`.
        encoder: A `transformers.CLIPTextModel`, or one with a projection of its pooled output; or a `StoredModel` of one.
        is_projected: Whether it has one.
    """

    def __init__(self, tokenizer: Any, encoder: Any, *, is_projected: bool = False) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.is_projected = is_projected
        self.max_length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        dtype: torch.dtype,
        device: torch.device,
        keep: bool = True,
        suffix: str = "",
        is_projected: bool = False,
    ) -> ClipText:
        """The tokenizer and text encoder of a model folder.

        Args:
            keep: Whether the encoder stays in memory, or is read again for each call.
            suffix: What stands behind the components' names, such as "_2".
            is_projected: Whether the encoder has a projection of its pooled output.
        """
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        kind = CLIPTextModelWithProjection if is_projected else CLIPTextModel
        tokenizer, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
        folder.require(tokenizer, ["CLIPTokenizer", "CLIPTokenizerFast"])
        folder.require(encoder, [kind.__name__])
        return cls(
            _load_tokenizer(folder, tokenizer, CLIPTokenizer),
            _load_encoder(folder, encoder, kind, dtype=dtype, device=device, keep=keep),
            is_projected=is_projected,
        )

    def tokenize(self, prompts: Sequence[str]) -> Int[Tensor, "N L"]:
        """Token ids, padded to the model's length; longer prompts are cut, with a warning that names what is lost."""
        ids: Tensor = _tokenize(self.tokenizer, prompts, self.max_length, reader="CLIP").input_ids
        return ids

    def encode(self, prompts: Sequence[str]) -> HiddenStates:
        """Embeddings of the prompts, on the encoder's device."""
        with torch.no_grad():
            return HiddenStates(self.encoder(self.tokenize(prompts).to(self.encoder.device)).last_hidden_state)

    def encode_penultimate(self, prompts: Sequence[str]) -> PooledStates:
        """Output of the last layer but one, without the final normalisation; pooled output, projected if it can be."""
        with torch.no_grad():
            output = self.encoder(self.tokenize(prompts).to(self.encoder.device), output_hidden_states=True)
        return PooledStates(output.hidden_states[-2], output.text_embeds if self.is_projected else output.pooler_output)


class T5Text:
    """A T5 tokenizer with the encoder half of its model.

    Args:
        tokenizer: A `transformers.T5Tokenizer`.
        encoder: A `transformers.T5EncoderModel`, or a `StoredModel` of one.
        max_length: Number of tokens; longer prompts are cut, with a warning, shorter ones padded.
        is_masked: Whether padding is hidden from the encoder; some models were trained without.
    """

    def __init__(self, tokenizer: Any, encoder: Any, *, max_length: int, is_masked: bool) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.max_length = max_length
        self.is_masked = is_masked

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        dtype: torch.dtype,
        device: torch.device,
        max_length: int,
        is_masked: bool,
        keep: bool = True,
        suffix: str = "",
    ) -> T5Text:
        """The tokenizer and text encoder of a model folder; for `keep` and `suffix` see `ClipText.load`."""
        from transformers import T5EncoderModel, T5Tokenizer

        tokenizer, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
        folder.require(tokenizer, ["T5Tokenizer", "T5TokenizerFast"])
        folder.require(encoder, ["T5EncoderModel"])
        return cls(
            _load_tokenizer(folder, tokenizer, T5Tokenizer),
            _load_encoder(folder, encoder, T5EncoderModel, dtype=dtype, device=device, keep=keep),
            max_length=max_length,
            is_masked=is_masked,
        )

    def encode(self, prompts: Sequence[str]) -> HiddenStates:
        """Embeddings of the prompts, on the encoder's device."""
        batch = _tokenize(self.tokenizer, prompts, self.max_length, reader="T5").to(self.encoder.device)
        mask = batch.attention_mask if self.is_masked else None
        with torch.no_grad():
            return HiddenStates(self.encoder(batch.input_ids, attention_mask=mask).last_hidden_state)


def _tokenize(tokenizer: Any, prompts: Sequence[str], max_length: int, *, reader: str) -> Any:
    batch = tokenizer(list(prompts), padding="max_length", max_length=max_length, truncation=True, return_tensors="pt")
    for prompt, whole in zip(prompts, tokenizer(list(prompts), verbose=False).input_ids, strict=True):
        if len(whole) > max_length:
            log.warning(
                "The prompt '%s' has %d tokens; only %d are read by %s.", prompt, len(whole), max_length, reader
            )
    return batch


def _load_encoder(
    folder: ModelFolder, component: str, kind: Any, *, dtype: torch.dtype, device: torch.device, keep: bool
) -> Any:
    if keep:
        return folder.load(component, kind, dtype=dtype, device=device)
    return StoredModel(folder, component, kind, dtype=dtype, device=device)


def _load_tokenizer(folder: ModelFolder, component: str, kind: Any) -> Any:
    folder.read(component, "tokenizer_config.json")
    _check_vocabulary(folder, component)
    try:
        return kind.from_pretrained(str(folder.path), subfolder=component, local_files_only=True)
    except Exception as error:  # Whatever the loader stumbles over, the files do not hold this tokenizer.
        raise UserError(f"Model '{folder.name}': its {component} could not be loaded: {error}") from error


def _check_vocabulary(folder: ModelFolder, component: str) -> None:
    # Without one a tokenizer would load all the same, with a handful of tokens, and read every word as unknown.
    found = [name for name in VOCABULARIES if (folder.path / component / name).is_file()]
    if not found:
        raise UserError(
            f"Model '{folder.name}': {component}/ holds no vocabulary ({' or '.join(VOCABULARIES)}); "
            "the folder is incomplete."
        )
    if found == ["spiece.model"] and importlib.util.find_spec("sentencepiece") is None:
        raise UserError(
            f"Model '{folder.name}': its {component} is stored as spiece.model only, which needs the package "
            "'sentencepiece'. Install it with `pip install sentencepiece`."
        )
