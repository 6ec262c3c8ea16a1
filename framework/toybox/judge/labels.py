"""What a judge says about an image, as choices: how many objects and how they stand, which ones, and their colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from framework.toybox.colors import COLORS
from framework.toybox.families import FAMILIES, NEXT_TO, PAIR_SHAPES, RELATIONS
from framework.toybox.scenes import ObjectSpec, SceneSpec

SINGLE, REJECT = "single", "reject"
CHOICES: dict[str, tuple[str, ...]] = {
    "relation": (SINGLE, *RELATIONS, REJECT),
    "first": tuple(FAMILIES),
    "second": PAIR_SHAPES,
    "first_color": tuple(COLORS),
    "second_color": tuple(COLORS),
}
"""The questions and their possible answers."""
UNASKED = -1
"""The label of questions that a scene does not raise, such as the second object of a single one."""


def canonical(spec: SceneSpec) -> SceneSpec:
    """The spec without its view, and with objects side by side in a fixed order, as either may stand on the left."""
    objects = sorted(spec.objects, key=_rank) if spec.relation == NEXT_TO else spec.objects
    return dataclasses.replace(spec, objects=tuple(objects), view=None)


def answers(spec: SceneSpec | None) -> dict[str, str]:
    """The right answers for a scene, of the questions that it raises; None is what should be rejected."""
    if spec is None:
        return {"relation": REJECT}
    spec = canonical(spec)
    named = {"relation": spec.relation or SINGLE}
    for place, item in zip(("first", "second"), spec.objects, strict=False):
        named[place] = item.family
        if item.color is not None and FAMILIES[item.family].is_colored:
            named[f"{place}_color"] = item.color
    return named


def label_tensor(specs: Sequence[SceneSpec | None]) -> dict[str, Int[Tensor, "B"]]:
    """The number of the right answer to each question for B scenes, or `UNASKED`."""
    named = [answers(spec) for spec in specs]
    return {
        question: torch.tensor([options.index(a[question]) if question in a else UNASKED for a in named])
        for question, options in CHOICES.items()
    }


def _rank(item: ObjectSpec) -> tuple[int, int]:
    color = -1 if item.color is None else list(COLORS).index(item.color)
    return list(FAMILIES).index(item.family), color
