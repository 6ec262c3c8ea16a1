"""From specs and nuisances to solids."""

from __future__ import annotations

import numpy as np
import pytest

from framework.toybox.colors import COLORS
from framework.toybox.families import FAMILIES, NEXT_TO, ON_TOP, PAIR_SHAPES, SHAPES, SUPPORTS, TOYS
from framework.toybox.parts import Part, hull_spheres
from framework.toybox.scenes import PAIR_RADIUS, ObjectSpec, Scene, SceneSpec, build
from framework.toybox.tracing import MAX_PARTS

each_family = pytest.mark.parametrize("family", FAMILIES)


def single(family: str, color: str | None = None) -> SceneSpec:
    return SceneSpec((ObjectSpec(family, color),))


def nuisances(spec: SceneSpec, count: int) -> list[list[float]]:
    """The middle, both ends, and random vectors."""
    drawn = np.random.default_rng(0).uniform(size=(count, spec.num_nuisances)).tolist()
    return [[value] * spec.num_nuisances for value in (0.0, 0.5, 1.0)] + drawn


def reach(parts: tuple[Part, ...]) -> float:
    spheres = np.concatenate([hull_spheres(part) for part in parts])
    return float((np.linalg.norm(spheres[:, :3], axis=1) + spheres[:, 3]).max())


def test_there_are_enough_words() -> None:
    assert len(SHAPES) >= 10 and len(TOYS) >= 14 and len(COLORS) == 12
    assert sum(FAMILIES[name].has_front for name in TOYS) > len(TOYS) / 2


@each_family
def test_every_scene_reaches_the_radius_of_its_family(family: str) -> None:
    spec = single(family)
    low, high = FAMILIES[family].radius
    for nuisance in nuisances(spec, 10):
        scene = build(spec, nuisance)
        assert low - 1e-6 <= reach(scene.parts) <= high + 1e-6
        assert len(scene.parts) <= MAX_PARTS


@each_family
def test_albedo_stays_in_range(family: str) -> None:
    spec = single(family)
    for nuisance in nuisances(spec, 5):
        assert all(0 <= value <= 1 for part in build(spec, nuisance).parts for value in part.color)


@each_family
def test_proportions_change_the_shape_and_shades_only_the_colour(family: str) -> None:
    spec = single(family)
    plain = [0.5] * spec.num_nuisances
    other_proportions, other_shades = plain.copy(), plain.copy()
    other_proportions[5:11], other_shades[11:] = [0.9] * 6, [0.9] * 4

    def solids(scene: Scene) -> list[tuple]:
        return [(part.kind, part.parameters, part.center) for part in scene.parts]

    scenes = [build(spec, nuisance) for nuisance in (plain, other_proportions, other_shades)]
    assert (solids(scenes[0]) == solids(scenes[1])) == (family == "sphere")
    assert solids(scenes[0]) == solids(scenes[2])
    assert [part.color for part in scenes[0].parts] != [part.color for part in scenes[2].parts]


def test_build_is_deterministic() -> None:
    spec = single("robot", "blue")
    nuisance = nuisances(spec, 1)[-1]
    first, second = build(spec, nuisance), build(spec, nuisance)
    for a, b in zip(first.parts, second.parts, strict=True):
        assert (a.kind, a.parameters, a.center, a.color) == (b.kind, b.parameters, b.center, b.color)
        np.testing.assert_array_equal(a.rotation, b.rotation)


def test_the_named_colour_is_on_the_object() -> None:
    for color, rgb in COLORS.items():
        (part,) = build(single("cube", color), [0.5] * 15).parts
        np.testing.assert_allclose(part.color, rgb, atol=1e-6)


def test_named_colours_stay_apart_in_every_shade() -> None:
    rng = np.random.default_rng(0)
    centers = np.array(list(COLORS.values()))
    for index, color in enumerate(COLORS):
        shades = [build(single("cube", color), rng.uniform(size=15).tolist()).parts[0].color for _ in range(50)]
        nearest = np.linalg.norm(np.array(shades)[:, None] - centers, axis=-1).argmin(axis=1)
        assert (nearest == index).all(), color


def test_build_refuses_a_vector_of_another_length() -> None:
    with pytest.raises(ValueError, match="takes 15 nuisances, got 3"):
        build(single("cube"), [0.5] * 3)


@pytest.mark.parametrize("second", SUPPORTS)
@pytest.mark.parametrize("first", PAIR_SHAPES)
def test_on_top_of_means_above_and_touching(first: str, second: str) -> None:
    spec = SceneSpec((ObjectSpec(first, "red"), ObjectSpec(second, "blue")), ON_TOP)
    for nuisance in nuisances(spec, 3):
        upper, lower = build(spec, nuisance).parts
        heights = [hull_spheres(part)[:, 2] for part in (upper, lower)]
        radii = [hull_spheres(part)[:, 3] for part in (upper, lower)]
        assert (heights[0] - radii[0]).min() == pytest.approx((heights[1] + radii[1]).max(), abs=1e-6)
        assert reach((upper, lower)) <= PAIR_RADIUS[1] + 1e-6


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_next_to_means_apart_on_one_floor_on_either_side(side: float) -> None:
    spec = SceneSpec((ObjectSpec("cube", "red"), ObjectSpec("cone", "blue")), NEXT_TO)
    nuisance = [0.5] * spec.num_nuisances
    nuisance[4] = side
    first, second = (hull_spheres(part) for part in build(spec, nuisance).parts)
    sign = 1 if side < 0.5 else -1
    assert (sign * first[:, 1]).min() > (sign * second[:, 1]).max()
    floors = [(spheres[:, 2] - spheres[:, 3]).min() for spheres in (first, second)]
    assert floors[0] == pytest.approx(floors[1], abs=1e-6)


def test_a_relation_takes_the_nuisances_of_both_objects() -> None:
    spec = SceneSpec((ObjectSpec("cube"), ObjectSpec("cone")), NEXT_TO)
    assert spec.num_nuisances == 25
