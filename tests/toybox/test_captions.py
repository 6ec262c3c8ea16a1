"""Captions and prompts."""

from __future__ import annotations

import math

import pytest

from framework.toybox.captions import VIEWS, VOCABULARY, UnknownPrompt, caption, parse_prompt, view_words
from framework.toybox.families import NEXT_TO, ON_TOP
from framework.toybox.scenes import ObjectSpec, SceneSpec
from framework.toybox.splits import prompt_lists

RED_CUBE, BLUE_CYLINDER = ObjectSpec("cube", "red"), ObjectSpec("cylinder", "blue")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (SceneSpec((RED_CUBE,)), "a red cube"),
        (SceneSpec((ObjectSpec("cube"),)), "a cube"),
        (SceneSpec((ObjectSpec("snowman"),), view="back view"), "a snowman, back view"),
        (SceneSpec((ObjectSpec("airplane"),)), "an airplane"),
        (SceneSpec((ObjectSpec("cone", "orange"),)), "an orange cone"),
        (SceneSpec((RED_CUBE, BLUE_CYLINDER), ON_TOP), "a red cube on top of a blue cylinder"),
        (SceneSpec((RED_CUBE, ObjectSpec("cone")), NEXT_TO, "side view"), "a red cube next to a cone, side view"),
    ],
)
def test_captions_and_prompts_are_inverse(spec: SceneSpec, text: str) -> None:
    assert caption(spec) == text
    assert parse_prompt(text) == spec


def test_every_listed_prompt_is_the_caption_of_its_scene() -> None:
    for prompts in prompt_lists().values():
        for prompt in prompts:
            spec = parse_prompt(prompt)
            assert spec is not None
            assert caption(spec) == prompt


@pytest.mark.parametrize(
    "text", ["Red Cube", "the red cube.", "  A RED   CUBE ", "red cube,", "an red cube", "a red cube."]
)
def test_case_articles_and_periods_do_not_matter(text: str) -> None:
    assert parse_prompt(text) == SceneSpec((RED_CUBE,))


@pytest.mark.parametrize("view", VIEWS)
def test_view_words_are_read_with_and_without_a_comma(view: str) -> None:
    for text in (f"a red cube, {view}", f"a red cube {view}.", f"{view}, a red cube"):
        assert parse_prompt(text) == SceneSpec((RED_CUBE,), view=view)


def test_unknown_words_are_named() -> None:
    with pytest.raises(UnknownPrompt, match="does not know 'dragon', 'fire' in") as caught:
        parse_prompt("a red dragon next to a fire")
    assert caught.value.words == ("dragon", "fire")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "red",
        "a red blue cube",
        "a red snowman",
        "a cube cube",
        "a cube on top of",
        "a cube on top of a cone",
        "a car next to a cube",
        "a cube next to a cone next to a ring",
        "a cube, front view, back view",
    ],
)
def test_known_words_that_name_no_scene_give_none(text: str) -> None:
    assert parse_prompt(text) is None


def test_an_object_of_one_colour_may_be_called_by_it() -> None:
    assert parse_prompt("a white snowman") == SceneSpec((ObjectSpec("snowman", "white"),))


@pytest.mark.parametrize(
    ("azimuth", "elevation", "view"),
    [
        (0, 0, "front view"),
        (44, 20, "front view"),
        (-44, 20, "front view"),
        (316, 0, "front view"),
        (46, 0, "side view"),
        (-90, 59, "side view"),
        (134, 0, "side view"),
        (136, 0, "back view"),
        (-180, -10, "back view"),
        (540, 0, "back view"),
        (0, 61, "overhead view"),
        (180, 90, "overhead view"),
    ],
)
def test_view_words_follow_the_angles(azimuth: float, elevation: float, view: str) -> None:
    assert view_words(math.radians(azimuth), math.radians(elevation)) == view


def test_the_vocabulary_holds_the_words_of_all_captions_once() -> None:
    words = {word for prompts in prompt_lists().values() for prompt in prompts for word in prompt.split()}
    assert words <= set(VOCABULARY)
    assert len(VOCABULARY) == len(set(VOCABULARY))
    assert "view" in VOCABULARY
