"""Words as tokens: one each, numbered alike in every process."""

from __future__ import annotations

import subprocess
import sys

from framework.toybox.captions import VOCABULARY
from framework.toybox.tokens import build_tokenizer


def test_each_word_is_one_token_and_others_are_spelt_out() -> None:
    tokenizer = build_tokenizer()
    for word in VOCABULARY:
        assert len(tokenizer(word).input_ids) == 3, word
    numbers = {tokenizer(word).input_ids[1] for word in VOCABULARY}
    assert len(numbers) == len(VOCABULARY)
    assert len(tokenizer("platypus").input_ids) > 4


def test_tokens_have_the_same_numbers_in_every_process() -> None:
    """Sets of words have another order in each process; weights trained in one are worth nothing in the other."""
    code = "from framework.toybox.tokens import build_tokenizer as b; print(sorted(b().get_vocab().items()))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert printed == {f"{sorted(build_tokenizer().get_vocab().items())}\n"}
