"""The text sides of diffusion models: CLIP and T5 encoders with their tokenizers.

Some denoisers attend to one vector for each token; others are told one vector for the whole prompt as well.

A text encoder reads a fixed number of tokens. Where a denoiser only attends to them, a longer prompt can be read in chunks of
that length, each with its own beginning and end, whose vectors stand one after another. To attend to the same vectors twice
is to attend to them once: embeddings of fewer chunks are repeated until all are of one length, which changes no answer.
"""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.options import LongPrompt
from framework.diffusion.families.stored import StoredModel

log = logging.getLogger(__name__)

S = TypeVar("S", bound="TokenStates")

VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model")


@dataclass(frozen=True, eq=False)
class TokenStates(TextEmbedding):
    """Embeddings with a vector for each of L tokens; the L of some may be a multiple of that of others."""

    states: Float[Tensor, "*batch L D"]

    @classmethod
    def concatenate(cls: type[S], records: Iterable[S]) -> S:
        """One record of all prompts in order; those of fewer chunks are repeated to the length of all."""
        items = list(records)
        length = math.lcm(*(item.states.shape[-2] for item in items))
        return super().concatenate([item.repeated(length // item.states.shape[-2]) for item in items])

    def repeated(self: S, count: int) -> S:
        """The same states `count` times one after another, which a denoiser that attends to them cannot tell from once."""
        return self if count == 1 else replace(self, states=torch.cat([self.states] * count, dim=-2))


@dataclass(frozen=True, eq=False)
class HiddenStates(TokenStates):
    """One vector for each of L tokens of a prompt."""


@dataclass(frozen=True, eq=False)
class PooledStates(TokenStates):
    """One vector for each of L tokens of a prompt, and one for the whole of it."""

    pooled: Float[Tensor, "*batch P"]


class ClipText:
    """A CLIP tokenizer with its text model.

    Args:
        tokenizer: A `transformers.CLIPTokenizer`.
        encoder: A `transformers.CLIPTextModel`, or one with a projection of its pooled output; or a `StoredModel` of one.
        is_projected: Whether it has one.
        long_prompt: Whether prompts longer than `max_length` are cut, or read in chunks; None where they can only be cut.
    """

    def __init__(
        self, tokenizer: Any, encoder: Any, *, is_projected: bool = False, long_prompt: LongPrompt | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.is_projected = is_projected
        self.long_prompt = long_prompt
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
        long_prompt: LongPrompt | None = None,
    ) -> ClipText:
        """The tokenizer and text encoder of a model folder.

        Args:
            keep: Whether the encoder stays in memory, or is read again for each call.
            suffix: What stands behind the components' names, such as "_2".
            is_projected: Whether the encoder has a projection of its pooled output.
            long_prompt: See the class.
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
            long_prompt=long_prompt,
        )

    def num_chunks(self, prompt: str) -> int:
        """How many chunks the prompt is read in; 1 where prompts are cut."""
        if self.long_prompt != "chunk":
            return 1
        content = self.tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
        return max(1, -(-len(content) // (self.max_length - 2)))  # the first and last token of a chunk are no content

    def tokenize(self, prompts: Sequence[str]) -> Int[Tensor, "N L"]:
        """Token ids, padded to the model's length; longer prompts are cut, with a warning that names what is lost."""
        hint = " Set `long_prompt` of the prior to 'chunk' to have all of it read." if self.long_prompt == "cut" else ""
        ids: Tensor = _tokenize(self.tokenizer, prompts, self.max_length, reader="CLIP", hint=hint).input_ids
        return ids

    def encode(self, prompts: Sequence[str]) -> HiddenStates:
        """Embeddings of the prompts, on the encoder's device."""
        rows, count = self._rows(prompts)
        with torch.no_grad():
            states = self.encoder(rows.to(self.encoder.device)).last_hidden_state
        return HiddenStates(_side_by_side(states, count))

    def encode_penultimate(self, prompts: Sequence[str]) -> PooledStates:
        """Output of the last layer but one, without the final normalisation; pooled output, projected if it can be.

        The pooled output of a prompt in chunks is that of its first one.
        """
        rows, count = self._rows(prompts)
        with torch.no_grad():
            output = self.encoder(rows.to(self.encoder.device), output_hidden_states=True)
        pooled = output.text_embeds if self.is_projected else output.pooler_output
        return PooledStates(_side_by_side(output.hidden_states[-2], count), pooled[::count])

    def _rows(self, prompts: Sequence[str]) -> tuple[Int[Tensor, "M L"], int]:
        """Token ids of all chunks, those of one prompt after another, and how many each prompt has."""
        count = math.lcm(*map(self.num_chunks, prompts))
        if count == 1:
            return self.tokenize(prompts), 1
        return torch.cat([self._chunks(prompt, count) for prompt in prompts]), count

    def _chunks(self, prompt: str, count: int) -> Int[Tensor, "count L"]:
        """A prompt in `count` chunks, a multiple of those that it has: it is repeated."""
        tokenizer, size, own = self.tokenizer, self.max_length - 2, self.num_chunks(prompt)
        content = tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
        rows = torch.full((own, self.max_length), tokenizer.pad_token_id)
        for number, row in enumerate(rows):
            piece = content[size * number : size * (number + 1)]
            row[: len(piece) + 2] = torch.tensor([tokenizer.bos_token_id, *piece, tokenizer.eos_token_id])
        return rows.repeat(count // own, 1)


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
        batch = _tokenize(self.tokenizer, prompts, self.max_length, reader="T5", hint="").to(self.encoder.device)
        mask = batch.attention_mask if self.is_masked else None
        with torch.no_grad():
            return HiddenStates(self.encoder(batch.input_ids, attention_mask=mask).last_hidden_state)


def _side_by_side(states: Float[Tensor, "M L D"], count: int) -> Float[Tensor, "N L2 D"]:
    """The states of `count` chunks of each prompt, one after another."""
    return states.reshape(len(states) // count, -1, states.shape[-1])


def _tokenize(tokenizer: Any, prompts: Sequence[str], max_length: int, *, reader: str, hint: str) -> Any:
    batch = tokenizer(list(prompts), padding="max_length", max_length=max_length, truncation=True, return_tensors="pt")
    for prompt, whole in zip(prompts, tokenizer(list(prompts), verbose=False).input_ids, strict=True):
        if len(whole) > max_length:
            lost = tokenizer.decode(whole[max_length - 1 :], skip_special_tokens=True).strip()
            message = "The prompt '%s' has %d tokens; only %d are read by %s. What is cut off: '%s'.%s"
            log.warning(message, prompt, len(whole), max_length, reader, lost, hint)
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
