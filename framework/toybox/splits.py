"""Prompt lists, and the combinations that training never shows.

`configs/toybox/prompts/*.txt` are written from the tables here by `python -m framework.toybox.splits DIRECTORY`:

    train      combinations that training shows
    dev        such combinations, for tuning
    test-seen  such combinations, for the final measurement
    test-pair  two objects that training never shows together, in any relation or order
    test-toy   colours that training never shows on a toy
"""

from __future__ import annotations

import sys
from pathlib import Path

from framework.toybox.captions import caption, parse_scene
from framework.toybox.colors import COLORS
from framework.toybox.families import FAMILIES, NEXT_TO, ON_TOP, PAIR_SHAPES, SUPPORTS
from framework.toybox.scenes import ObjectSpec, SceneSpec

DEV = (
    "a red cube",
    "a blue sphere",
    "a yellow pyramid",
    "a purple ring",
    "a brown chair",
    "a white mug",
    "a snowman",
    "a red mushroom",
    "a blue robot",
    "a yellow duck",
    "a red car",
    "a green cube on top of a blue cylinder",
)

TEST_SEEN = (
    "an orange cube",
    "a cyan sphere",
    "a green cylinder",
    "a pink cone",
    "a gray pyramid",
    "a yellow ring",
    "a blue capsule",
    "a yellow star",
    "a pink heart",
    "a white cross",
    "a red table",
    "a blue chair",
    "a green mug",
    "an orange bowl",
    "a penguin",
    "a tree",
    "a blue train",
    "a red rocket",
    "a brown bear",
    "an orange fish",
    "a yellow house",
    "a gray castle",
    "a purple sphere next to a yellow cone",
    "a pink capsule on top of a brown cube",
)

TEST_PAIR = (
    "a red cube on top of a blue cylinder",
    "a yellow sphere on top of a purple cube",
    "a green cone on top of an orange cylinder",
    "a pink pyramid on top of a green cube",
    "a cyan ring on top of a brown cube",
    "a white capsule on top of a red sphere",
    "a blue cube on top of a yellow cube",
    "an orange sphere on top of a gray cylinder",
    "a purple cylinder on top of a cyan cube",
    "a black cone on top of a white sphere",
    "a brown pyramid on top of a pink cylinder",
    "a gray ring on top of a red cylinder",
    "a red sphere next to a green cube",
    "a blue cone next to an orange cube",
    "a yellow cylinder next to a red pyramid",
    "a purple ring next to a white cube",
    "a cyan capsule next to a black sphere",
    "a pink cube next to a blue pyramid",
    "a green ring next to a yellow sphere",
    "a brown cone next to a cyan cylinder",
    "a white pyramid next to a purple capsule",
    "a gray sphere next to a pink ring",
    "an orange capsule next to a blue cube",
    "a black cylinder next to a yellow pyramid",
)

TEST_TOY = (
    "a purple car",
    "a white car",
    "a pink train",
    "a green train",
    "a cyan rocket",
    "a yellow rocket",
    "an orange boat",
    "a purple boat",
    "a yellow airplane",
    "a red airplane",
    "a green robot",
    "an orange robot",
    "a blue bear",
    "a pink bear",
    "a purple duck",
    "a cyan duck",
    "a green fish",
    "a blue mushroom",
    "a purple mushroom",
    "a cyan house",
    "a green lamp",
    "a pink castle",
    "a blue flower",
    "an orange flower",
)


def is_held_out(spec: SceneSpec) -> bool:
    """Whether training must never show a scene of these coloured objects."""
    return frozenset(spec.objects) in HELD_OUT


def _objects(prompt: str) -> frozenset[ObjectSpec]:
    return frozenset(parse_scene(prompt).objects)


HELD_OUT: frozenset[frozenset[ObjectSpec]] = frozenset(_objects(prompt) for prompt in TEST_PAIR + TEST_TOY)
"""Objects with their colours, alone or in pairs without order."""


def prompt_lists() -> dict[str, tuple[str, ...]]:
    """The prompts of every list, by its name."""
    return {"train": _train(), "dev": DEV, "test-seen": TEST_SEEN, "test-pair": TEST_PAIR, "test-toy": TEST_TOY}


def write_prompt_lists(directory: Path) -> None:
    """Write each list to `directory/<name>.txt`, a prompt a line."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, prompts in prompt_lists().items():
        (directory / f"{name}.txt").write_text("\n".join(prompts) + "\n", encoding="ascii")


def _train() -> tuple[str, ...]:
    """Every trained single object, with and without its colour, and a regular sample of the trained pairs."""
    specs = [SceneSpec((ObjectSpec(family),)) for family in FAMILIES]
    specs += [
        SceneSpec((ObjectSpec(family.name, color),))
        for family in FAMILIES.values()
        if family.is_colored
        for color in COLORS
    ]
    pairs = [(ON_TOP, upper, lower) for upper in PAIR_SHAPES for lower in SUPPORTS]
    pairs += [(NEXT_TO, first, second) for first in PAIR_SHAPES for second in PAIR_SHAPES if first != second]
    names = tuple(COLORS)
    for index, (relation, first, second) in enumerate(pairs):
        colors = names[(5 * index) % len(names)], names[(5 * index + 1 + index // len(names)) % len(names)]
        specs.append(SceneSpec((ObjectSpec(first, colors[0]), ObjectSpec(second, colors[1])), relation))
    prompts = (caption(spec) for spec in specs if not is_held_out(spec))
    return tuple(prompt for prompt in prompts if prompt not in DEV + TEST_SEEN)


if __name__ == "__main__":
    write_prompt_lists(Path(sys.argv[1]))
