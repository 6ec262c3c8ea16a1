"""Captions of scenes and what they mean.

caption   = [article] object [relation [article] object] ["," view] ["."]
object    = [color] family
relation  = "on top of" | "next to"
view      = "front view" | "side view" | "back view" | "overhead view"
"""

from __future__ import annotations

import math
import re

from framework.toybox.colors import COLORS
from framework.toybox.families import FAMILIES, ON_TOP, PAIR_SHAPES, RELATIONS, SUPPORTS
from framework.toybox.scenes import ObjectSpec, SceneSpec

VIEWS: tuple[str, ...] = ("front view", "side view", "back view", "overhead view")
OVERHEAD_ELEVATION_DEG = 60.0
FRONT_AZIMUTH_DEG = 45.0
BACK_AZIMUTH_DEG = 135.0
ARTICLES = ("a", "an", "the")

VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        ["a", "an", *COLORS, *FAMILIES] + [word for phrase in (*RELATIONS, *VIEWS) for word in phrase.split()]
    )
)
"""Every word that captions are made of, lower case, without the comma before the view."""


class UnknownPrompt(ValueError):
    """A prompt with words that the toybox does not know.

    Attributes:
        words: The unknown words, in order.
    """

    def __init__(self, text: str, words: tuple[str, ...]) -> None:
        quoted = ", ".join(f"'{word}'" for word in words)
        super().__init__(f"The toybox does not know {quoted} in the prompt '{text}'.")
        self.words = words


def view_words(azimuth: float, elevation: float) -> str:
    """The view of a camera, as captions name it.

    Args:
        azimuth: Radians, 0 in front of the object; any turn.
        elevation: Radians, pi/2 straight above.
    """
    if math.degrees(elevation) > OVERHEAD_ELEVATION_DEG:
        return "overhead view"
    from_front = abs((math.degrees(azimuth) + 180) % 360 - 180)
    if from_front < FRONT_AZIMUTH_DEG:
        return "front view"
    return "back view" if from_front > BACK_AZIMUTH_DEG else "side view"


def caption(spec: SceneSpec) -> str:
    """The words for a spec, such as "a red cube on top of a sphere, side view"."""
    nouns = [" ".join(filter(None, (item.color, item.family))) for item in spec.objects]
    phrases = [f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in nouns]
    text = phrases[0] if spec.relation is None else f"{phrases[0]} {spec.relation} {phrases[1]}"
    return text if spec.view is None else f"{text}, {spec.view}"


def parse_prompt(text: str) -> SceneSpec | None:
    """What a prompt asks for, or None if its words are known but name no scene of the toybox.

    Case, articles, commas, a final period and the place of the view words do not matter.

    Raises:
        UnknownPrompt: If the prompt has words that no caption has.
    """
    words = re.findall(r"[^\s,.]+", text.lower())
    unknown = tuple(word for word in words if word not in VOCABULARY and word not in ARTICLES)
    if unknown:
        raise UnknownPrompt(text, unknown)
    phrase = " ".join(word for word in words if word not in ARTICLES)
    phrase, view = _split_view(phrase)
    relation = next((relation for relation in RELATIONS if f" {relation} " in f" {phrase} "), None)
    nouns = [phrase] if relation is None else phrase.split(f" {relation} ")
    objects = tuple(item for item in map(_object, nouns) if item is not None)
    if len(objects) != len(nouns):
        return None
    spec = SceneSpec(objects, relation, view)
    return spec if is_scene(spec) else None


def parse_scene(text: str) -> SceneSpec:
    """What a prompt that is known to name a scene asks for.

    Raises:
        ValueError: If it names none.
    """
    spec = parse_prompt(text)
    if spec is None:
        raise ValueError(f"'{text}' names no scene of the toybox.")
    return spec


def is_scene(spec: SceneSpec) -> bool:
    """Whether the generator makes scenes of this kind: known pairs, and colours only where objects have several."""
    if not all(_may_have_color(item) for item in spec.objects):
        return False
    if spec.relation is None:
        return len(spec.objects) == 1
    families = [item.family for item in spec.objects]
    if len(families) != 2 or any(family not in PAIR_SHAPES for family in families):
        return False
    return spec.relation != ON_TOP or families[1] in SUPPORTS


def _may_have_color(item: ObjectSpec) -> bool:
    family = FAMILIES[item.family]
    return item.color is None or family.is_colored or item.color == family.typical_color


def _split_view(phrase: str) -> tuple[str, str | None]:
    for view in VIEWS:
        padded = f" {phrase} "
        if f" {view} " in padded:
            return padded.replace(f" {view} ", " ", 1).strip(), view
    return phrase, None


def _object(noun: str) -> ObjectSpec | None:
    """'red cube' or 'cube'."""
    *colors, family = noun.split() or [""]
    if family not in FAMILIES or len(colors) > 1 or any(color not in COLORS for color in colors):
        return None
    return ObjectSpec(family, colors[0] if colors else None)
