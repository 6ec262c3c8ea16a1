"""A CLIP tokenizer whose tokens are the toybox's words: one token for each word of a caption."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import Any

from framework.toybox.captions import VOCABULARY

MAX_LENGTH = 24
PUNCTUATION = (",", ".")


def build_tokenizer(words: tuple[str, ...] = VOCABULARY) -> Any:
    """A `transformers.CLIPTokenizer` that reads each of `words` as one token and spells out all others in bytes.

    Byte-pair merges build every word from left to right, so the folder it is saved to is like that of any CLIP model.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    merges: list[tuple[str, str]] = []
    for word in _merge_order(words):
        pieces = _pieces(word)
        prefix = pieces[0]
        for piece in pieces[1:]:
            merges.append((prefix, piece))
            prefix += piece
            tokens.append(prefix)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    distinct: Any = list(dict.fromkeys(merges))  # pairs, where the signature knows only lines of a file
    return CLIPTokenizer(vocab=vocabulary, merges=distinct, model_max_length=MAX_LENGTH)


def _merge_order(words: Sequence[str]) -> list[str]:
    """The words, each before all whose first two letters stand inside it; the same order in every process.

    Earlier merges win, so otherwise the start of one word would break another apart: the `ro` of robot that of front.
    """
    before = {  # Lists, for sets of words have another order in each process, and so would have the tokens' numbers.
        word: [other for other in words if other != word and _stands_inside(_pieces(word)[:2], _pieces(other))]
        for word in words
    }
    return list(TopologicalSorter(before).static_order())


def _pieces(word: str) -> list[str]:
    return [*word[:-1], word[-1] + "</w>"]


def _stands_inside(pair: list[str], pieces: list[str]) -> bool:
    return len(pair) == 2 and any(pieces[i : i + 2] == pair for i in range(1, len(pieces) - 1))
