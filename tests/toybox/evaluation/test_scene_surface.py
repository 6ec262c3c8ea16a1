"""Points of the surface of a scene."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.scenes import Scene

MakeScene = Callable[[str], Scene]


def surface(scene: Scene, count: int = 3000) -> SceneSurface:
    return SceneSurface(scene, count=count, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prompt", ["a duck", "a mug", "a star", "a cube on top of a cylinder"])
def test_points_lie_on_the_surface_with_the_outside_before_them(prompt: str, scene: MakeScene) -> None:
    of = surface(scene(prompt))
    assert len(of.points) == 3000
    assert float(of.distance(of.points.positions).abs().max()) < 5e-4
    outside = of.distance(of.points.positions + 4e-3 * of.points.normals)
    assert float((outside - 4e-3).abs().median()) < 1e-4 and float((outside > 2e-3).float().mean()) > 0.98


def test_a_sphere_is_covered_evenly(scene: MakeScene) -> None:
    of = surface(scene("a sphere"))
    # Equal heights of a sphere have equal areas.
    counts = torch.histc(of.points.normals[:, 2], bins=6, min=-1, max=1)
    assert float((counts / 500 - 1.0).abs().max()) < 4.0 / math.sqrt(500)


def test_every_part_gets_points_by_its_area(scene: MakeScene) -> None:
    pair = scene("a sphere next to a cube")
    of = surface(pair)
    radius = pair.parts[0].parameters[0]
    x, y, z, _, rounding = pair.parts[1].parameters
    # A rounded box (Steiner): its six sides, four quarters of a cylinder along each axis, one sphere.
    sides = 8 * (x * y + y * z + z * x)
    box = sides + 4 * math.pi * rounding * (x + y + z) + 4 * math.pi * rounding**2
    expected = 4 * math.pi * radius**2 / (4 * math.pi * radius**2 + box)
    assert float((of.points.part == 0).float().mean()) == pytest.approx(expected, abs=0.035)


def test_where_one_thing_stands_on_another_there_is_no_surface(scene: MakeScene) -> None:
    stack = scene("a cube on top of a cylinder")
    contact = stack.parts[0].center[2] - stack.parts[0].parameters[2] - stack.parts[0].parameters[4]
    positions = surface(stack).points.positions
    at_contact = (positions[:, 2] - contact).abs() < 2e-3
    within = positions[at_contact, :2].norm(dim=1) < 0.1
    assert bool(at_contact.any()) and not bool(within.any())


def test_the_size_is_the_longest_side_of_the_box_around_it(scene: MakeScene) -> None:
    of = surface(scene("a rocket"))
    low, high = of.points.positions.amin(dim=0), of.points.positions.amax(dim=0)
    assert of.size == pytest.approx(float((high - low).max()), rel=0.03)
