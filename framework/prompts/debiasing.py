"""Prompts without the words that contradict a view (Hong et al. 2023, "Debiasing Scores and Prompts of 2D Diffusion for
View-consistent Text-to-3D Generation", arXiv:2303.15413).

A word such as "smiling" speaks for the front, whatever view word stands beside it. A masked language model tells how much: it
guesses the view word v in "a [MASK] view of ..." behind the prompt u and behind the prompt without the word. Where
P(v | u) / P(v | u without the word) is small, the word speaks against the view and is left out of that view's prompt.
Probabilities are shares among the view words.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError

log = logging.getLogger(__name__)

SENTENCE = "a {mask} view of {prompt}"


@dataclass(kw_only=True, frozen=True)
class Debiasing:
    """How words that contradict a view are found."""

    model: str | None = None
    """Folder with a masked language model of transformers, such as a copy of `google-bert/bert-base-uncased`; without one
    prompts stay as they are."""
    threshold: float = 0.95
    """A word is left out of a view's prompt where it lowers the probability of the view to less than this share."""
    words: list[str] | None = None
    """Words that may be left out; by default all of them."""

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold: expected a share above 0 and at most 1, got {self.threshold:g}.")


def debiased_prompts(prompt: str, views: Sequence[str], settings: Debiasing) -> list[str]:
    """The prompt for each of the views, without the words that contradict it; the model is in memory for this call only.

    A prompt of which nothing would be left stays as it is.

    Args:
        views: The words for the views, such as "front".

    Raises:
        UserError: If the model cannot be loaded, cannot guess words, or does not know a view as one word.
    """
    words = prompt.split()
    if settings.model is None or not words:
        return [prompt] * len(views)
    candidates = [index for index, word in enumerate(words) if _may_go(word, settings)]
    shortened = [" ".join(words[:index] + words[index + 1 :]) for index in candidates]
    whole, *without = MaskedLanguageModel(settings.model).log_shares([prompt, *shortened], views)
    prompts = []
    for number, view in enumerate(views):
        against = [
            index
            for index, shares in zip(candidates, without, strict=True)
            if whole[number] - shares[number] < math.log(settings.threshold)
        ]
        prompts.append(_left_of(words, against, view) or prompt)
    return prompts


class MaskedLanguageModel:
    """A model that guesses a hidden word of a sentence, on the CPU.

    Args:
        path: Its folder.

    Raises:
        UserError: If there is none, or it cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"prompts: debiasing.model: there is no folder with a masked language model at '{path}'. Name one, such as a "
                "copy of google-bert/bert-base-uncased, or leave debiasing out."
            )
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            model, info = AutoModelForMaskedLM.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # Whatever the loader stumbles over, the files do not hold such a model.
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise self._fault(f"could not be loaded: {cause}") from error
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise self._fault(f"lacks {len(missing)} tensors, such as '{missing[0]}', so it cannot guess words.")
        if self._tokenizer.mask_token is None:
            raise self._fault("has a tokenizer without a mask, so it cannot guess words.")
        self._model = model.eval()

    @torch.no_grad()
    def log_shares(self, prompts: Sequence[str], views: Sequence[str]) -> Float[Tensor, "N V"]:
        """How probable each view word is in the sentence about each prompt: logarithms of shares that add up to 1.

        Raises:
            UserError: If a view is not one word to the model, or a sentence is too long for it.
        """
        tokenizer = self._tokenizer
        sentences = [SENTENCE.format(mask=tokenizer.mask_token, prompt=prompt) for prompt in prompts]
        batch = tokenizer(sentences, padding=True, return_tensors="pt")
        longest = getattr(self._model.config, "max_position_embeddings", None)
        if longest is not None and batch.input_ids.shape[1] > longest:
            raise self._fault(f"reads {longest} tokens at once, and the prompt has {batch.input_ids.shape[1]}.")
        logits = self._model(**batch).logits
        # The first mask of each row is that of the sentence, whatever the prompt says.
        places = batch.input_ids.eq(tokenizer.mask_token_id).int().argmax(dim=1)
        return logits[torch.arange(len(prompts)), places][:, self._ids(views)].log_softmax(dim=-1)

    def _ids(self, views: Sequence[str]) -> list[int]:
        found = [self._tokenizer(view, add_special_tokens=False).input_ids for view in views]
        for view, ids in zip(views, found, strict=True):
            if len(ids) != 1 or ids[0] == self._tokenizer.unk_token_id:
                raise self._fault(f"does not know '{view}' as one word. Use one with an English vocabulary.")
        return [ids[0] for ids in found]

    def _fault(self, message: str) -> UserError:
        return UserError(f"prompts: debiasing.model: the masked language model at '{self._path}' {message}")


def _may_go(word: str, settings: Debiasing) -> bool:
    return settings.words is None or word.strip(",.").lower() in {item.lower() for item in settings.words}


def _left_of(words: Sequence[str], against: Sequence[int], view: str) -> str:
    left = " ".join(word for index, word in enumerate(words) if index not in against)
    if against:
        gone = ", ".join(f"'{words[index]}'" for index in against)
        if not left:
            log.warning("Every word of the prompt speaks against the %s view; it stays as it is there.", view)
        else:
            log.info("For the %s view the prompt is '%s', without %s.", view, left, gone)
    return left
