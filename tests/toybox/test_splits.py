"""Prompt lists and held-out combinations."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.toybox.captions import parse_prompt
from framework.toybox.families import FAMILIES
from framework.toybox.scenes import ObjectSpec, SceneSpec
from framework.toybox.splits import is_held_out, prompt_lists, write_prompt_lists

FOLDER = Path(__file__).parents[2] / "configs" / "toybox" / "prompts"
SIZES = {"train": 200, "dev": 12, "test-seen": 24, "test-pair": 24, "test-toy": 24}


def spec_of(prompt: str) -> SceneSpec:
    spec = parse_prompt(prompt)
    assert spec is not None, prompt
    return spec


@pytest.mark.parametrize("name", SIZES)
def test_the_files_hold_the_lists(name: str, tmp_path: Path) -> None:
    write_prompt_lists(tmp_path)
    assert (FOLDER / f"{name}.txt").read_text() == (tmp_path / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", SIZES)
def test_the_lists_are_long_enough_and_without_repetition(name: str) -> None:
    prompts = prompt_lists()[name]
    assert len(prompts) >= SIZES[name]
    assert len(set(prompts)) == len(prompts)


def test_no_prompt_is_in_two_lists() -> None:
    prompts = [prompt for prompts in prompt_lists().values() for prompt in prompts]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("name", SIZES)
def test_just_the_pair_and_toy_lists_are_held_out(name: str) -> None:
    assert all(is_held_out(spec_of(prompt)) == (name in ("test-pair", "test-toy")) for prompt in prompt_lists()[name])


def test_the_held_out_lists_are_of_their_kinds() -> None:
    lists = prompt_lists()
    assert all(spec_of(prompt).relation is not None for prompt in lists["test-pair"])
    assert all(FAMILIES[spec_of(prompt).objects[0].family].is_toy for prompt in lists["test-toy"])


def test_a_pair_is_held_out_in_any_order_and_relation() -> None:
    spec = spec_of("a red cube on top of a blue cylinder")
    assert is_held_out(SceneSpec(spec.objects[::-1], "next to", "side view"))


def test_no_typical_colour_is_held_out() -> None:
    for family in FAMILIES.values():
        assert not is_held_out(SceneSpec((ObjectSpec(family.name, family.typical_color),)))
