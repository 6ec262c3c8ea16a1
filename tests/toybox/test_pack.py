"""Scenes as tensors: union distance and albedo."""

from __future__ import annotations

import torch

from framework.toybox.pack import PADDING, ScenePack, albedo, part_distances, signed_distance
from framework.toybox.parts import box, sphere
from framework.toybox.scenes import ObjectSpec, Scene, SceneSpec

RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
SPEC = SceneSpec((ObjectSpec("sphere"),))
TWO = Scene(SPEC, (sphere((0, 0, 0.5), 0.3, RED), sphere((0, 0, -0.5), 0.2, BLUE)))
ONE = Scene(SPEC, (box((0, 0, 0), (0.5, 0.5, 0.5), BLUE),))


def test_the_distance_of_a_scene_is_that_to_its_nearest_part() -> None:
    points = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [0.3, 0.0, 0.0]]])
    expected = torch.tensor([[0.2, 0.3, (0.09 + 0.25) ** 0.5 - 0.3]])
    torch.testing.assert_close(signed_distance(ScenePack.from_scenes([TWO]), points), expected)


def test_albedo_is_that_of_the_nearest_part() -> None:
    points = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    torch.testing.assert_close(albedo(ScenePack.from_scenes([TWO]), points), torch.tensor([[RED, BLUE]]))


def test_padding_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 50, 3, generator=generator)
    pack = ScenePack.from_scenes([TWO, ONE])
    assert pack.kinds[1, 1] == PADDING
    assert torch.isinf(part_distances(pack, points)[1, 1]).all()
    alone = ScenePack.from_scenes([ONE])
    torch.testing.assert_close(signed_distance(pack, points)[1:], signed_distance(alone, points[1:]))
    torch.testing.assert_close(albedo(pack, points)[1:], albedo(alone, points[1:]))
