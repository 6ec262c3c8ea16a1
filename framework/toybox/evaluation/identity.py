"""Which scene of the vocabulary a solid is most like: a judge without a network."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from framework.toybox.evaluation.fitting import Probes, SceneFamily, soft_occupancy
from framework.toybox.evaluation.search import Effort
from framework.toybox.evaluation.voxels import intersection_over_union, scene_cells
from framework.toybox.families import FAMILIES, NEXT_TO, ON_TOP, PAIR_SHAPES, SUPPORTS
from framework.toybox.scenes import ObjectSpec, SceneSpec

_SCREENED = 16
"""Random scenes of each caption that every solid is first compared with."""
_REFINED = 4
"""Captions whose scenes are then fitted."""
_NUM_PROBES = 2000
_EFFORT = Effort(starts=0, generations=16, children=16)


@cache
def vocabulary() -> tuple[SceneSpec, ...]:
    """Every scene that captions can name, without colours; two objects side by side in one order."""
    singles = [SceneSpec((ObjectSpec(family),)) for family in FAMILIES]
    stacks = [_pair(upper, ON_TOP, lower) for upper in PAIR_SHAPES for lower in SUPPORTS]
    neighbors = [_pair(first, NEXT_TO, second) for first, second in combinations_with_replacement(PAIR_SHAPES, 2)]
    return (*singles, *stacks, *neighbors)


def is_same_shape(first: SceneSpec, second: SceneSpec) -> bool:
    """Whether two captions differ in nothing but colours, view words, and the order of objects side by side."""
    return _shape_key(first) == _shape_key(second)


def best_wrong(cells: Bool[Tensor, "R R R"], named: SceneSpec) -> tuple[SceneSpec, float]:
    """The scene that the caption does not name and the solid is most like, and their intersection over union.

    All captions are screened by random scenes; the most promising ones are fitted as `fit_scene` fits the named one,
    with less effort. Deterministic.
    """
    wrong = [index for index, spec in enumerate(vocabulary()) if not is_same_shape(spec, named)]
    screened = _screen(cells)
    promising = sorted(wrong, key=lambda index: float(screened[index].max()), reverse=True)[:_REFINED]
    probes = Probes.of(cells, count=_NUM_PROBES)
    results = [_refine(cells, probes, index, screened[index]) for index in promising]
    return max(results, key=lambda result: result[1])


def _refine(
    cells: Bool[Tensor, "R R R"], probes: Probes, index: int, screened: Float[Tensor, "K"]
) -> tuple[SceneSpec, float]:
    family = _family(index)
    known = _random_scenes(index)[screened.topk(_EFFORT.parents).indices]
    nuisance = family.best_match(probes, effort=_EFFORT, generator=torch.Generator().manual_seed(0), known=known)
    cells_of_scene = scene_cells(family.scenes(nuisance[None])[0], resolution=len(cells))
    return family.spec, intersection_over_union(cells, cells_of_scene)


def _screen(cells: Bool[Tensor, "R R R"]) -> Float[Tensor, "W K"]:
    """Overlap of a solid with the random scenes of every caption of the vocabulary."""
    probes = Probes.even(cells, count=_NUM_PROBES)
    return torch.stack([probes.overlap(_random_occupancy(i, len(cells))) for i in range(len(vocabulary()))])


@cache
def _family(index: int) -> SceneFamily:
    return SceneFamily.of(vocabulary()[index])


@cache
def _random_scenes(index: int) -> Float[Tensor, "K D"]:
    """Nuisances of the random scenes of a caption; the same for every solid."""
    return _family(index).random(_SCREENED, torch.Generator().manual_seed(index))


@cache
def _random_occupancy(index: int, resolution: int) -> Float[Tensor, "K M"]:
    """Occupancy of those scenes at the probes, kept because it does not depend on the solid."""
    points = Probes.even(torch.zeros(resolution, resolution, resolution, dtype=torch.bool), count=_NUM_PROBES).points
    return soft_occupancy(_family(index).scenes(_random_scenes(index)), points)


def _pair(first: str, relation: str, second: str) -> SceneSpec:
    return SceneSpec((ObjectSpec(first), ObjectSpec(second)), relation)


def _shape_key(spec: SceneSpec) -> tuple[str | None, tuple[str, ...]]:
    families = [item.family for item in spec.objects]
    return spec.relation, tuple(sorted(families) if spec.relation == NEXT_TO else families)
