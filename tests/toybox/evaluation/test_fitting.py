"""Fitting scenes to solids."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jaxtyping import Bool
from torch import Tensor

from framework.toybox.evaluation.fitting import Probes, SceneFamily, fit_scene
from framework.toybox.evaluation.voxels import intersection_over_union, scene_cells
from framework.toybox.scenes import SceneSpec, build

Cells = Callable[[str], Bool[Tensor, "R R R"]]
Spec = Callable[[str], SceneSpec]


@pytest.mark.parametrize("prompt", ["a chair", "a mug", "a duck", "a ring next to a cone"])
def test_a_scene_is_recovered_from_its_cells(prompt: str, cells: Cells, spec: Spec) -> None:
    _, iou = fit_scene(cells(prompt), spec(prompt))
    assert iou > 0.93


def test_scenes_without_a_front_may_turn_freely_and_others_hardly(spec: Spec) -> None:
    free, bound = SceneFamily.of(spec("a mug")), SceneFamily.of(spec("a chair"))
    assert free.low[1] == 0.5 - 9.0 and free.high[1] == 0.5 + 9.0  # half a turn in units of twice 10 degrees
    assert bound.low[1] == 0.0 and bound.high[1] == 1.0


def test_half_a_turn_is_where_the_wide_range_of_the_yaw_ends(spec: Spec) -> None:
    family = SceneFamily.of(spec("a mug"))
    vector = family.middle.clone()
    plain = scene_cells(family.scenes(vector[None])[0])
    vector[1] = family.high[1]
    turned = scene_cells(family.scenes(vector[None])[0])
    assert intersection_over_union(turned, plain.flip(0, 1)) > 0.98 > intersection_over_union(turned, plain)


def test_nuisances_that_do_not_change_the_shape_are_not_searched(spec: Spec) -> None:
    family = SceneFamily.of(spec("a red cylinder"))
    is_searched = (family.high > family.low).tolist()
    assert is_searched == [True, True, False, False, False] + [True, True, False, False, False, False] + [False] * 4


def test_probes_estimate_the_overlap_of_all_cells(cells: Cells) -> None:
    solid, other = cells("a chair"), cells("a table")
    expected = intersection_over_union(solid, other)
    for probes in (Probes.of(solid, count=20_000), Probes.even(solid, count=40_000)):
        index = ((probes.points + 1) * 32).long().unbind(dim=1)
        assert float(probes.overlap(other[index].float()[None])) == pytest.approx(expected, abs=0.03)


def test_what_lies_beyond_all_scenes_counts_against_a_solid(spec: Spec) -> None:
    sphere = scene_cells(build(spec("a sphere"), [0.5] * spec("a sphere").num_nuisances))
    with_corner = sphere.clone()
    with_corner[:16, :16, :16] = True
    probes = Probes.of(with_corner, count=4000)
    index = ((probes.points + 1) * 32).long().unbind(dim=1)
    expected = intersection_over_union(with_corner, sphere)
    assert float(probes.overlap(sphere[index].float()[None])) == pytest.approx(expected, abs=0.03)
