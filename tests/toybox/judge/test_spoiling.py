"""Faults: each changes what it is to change, and nothing leaves the range of images."""

from __future__ import annotations

import numpy as np
import torch

from framework.toybox.batches import Uniform
from framework.toybox.captions import parse_scene
from framework.toybox.judge import spoiling
from framework.toybox.judge.batches import IMAGE_FAULTS, SCENE_FAULTS, judged_batch, worn
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.scenes import Scene, build
from framework.toybox.tracing import MAX_PARTS


def scene_of(prompt: str) -> Scene:
    spec = parse_scene(prompt)
    return build(spec, [0.5] * spec.num_nuisances)


def source() -> Uniform:
    return Uniform(torch.Generator().manual_seed(0))


def test_a_two_faced_scene_looks_alike_from_front_and_back() -> None:
    scene = spoiling.two_faced(scene_of("a blue robot"))
    points = torch.rand(1, 500, 3, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    turned = points * torch.tensor([-1.0, -1.0, 1.0])
    pack = ScenePack.from_scenes([scene])
    torch.testing.assert_close(signed_distance(pack, points), signed_distance(pack, turned), rtol=0, atol=1e-5)


def test_floaters_are_added_and_the_scene_stays() -> None:
    scene = scene_of("a red cube")
    spoiled = spoiling.with_floaters(scene, source().between)
    assert spoiled.parts[: len(scene.parts)] == scene.parts and len(spoiled.parts) >= len(scene.parts) + 3


def test_spoiled_scenes_have_no_more_parts_than_can_be_rendered() -> None:
    large = scene_of("a gray castle")
    assert spoiling.MAX_PARTS == MAX_PARTS
    for spoiled in (
        spoiling.merged(large, large),
        spoiling.two_faced(large),
        spoiling.with_floaters(large, source().between),
    ):
        assert len(spoiled.parts) <= MAX_PARTS


def test_a_full_turn_changes_nothing_and_half_a_turn_mirrors_x_and_y() -> None:
    scene = scene_of("a red car")
    whole, half = spoiling.turned(scene, 360.0), spoiling.turned(scene, 180.0)
    for part, same, opposite in zip(scene.parts, whole.parts, half.parts, strict=True):
        np.testing.assert_allclose(same.center, part.center, atol=1e-9)
        np.testing.assert_allclose(opposite.center, np.array(part.center) * (-1, -1, 1), atol=1e-9)


def test_melted_scenes_keep_their_colors_but_not_their_places() -> None:
    scene = scene_of("a red car")
    spoiled = spoiling.melted(scene, source().between)
    assert [part.color for part in spoiled.parts] == [part.color for part in scene.parts]
    assert all(a.center != b.center for a, b in zip(scene.parts, spoiled.parts, strict=True))


def test_a_batch_names_proper_scenes_only_and_has_every_fault() -> None:
    batch = judged_batch(torch.Generator().manual_seed(0), 96, spoiled_share=0.9)
    assert set(batch.faults) == {"", *SCENE_FAULTS, *IMAGE_FAULTS}
    assert [spec is None for spec in batch.specs] == [bool(fault) for fault in batch.faults]
    assert batch.images.shape == (96, 64, 64, 3)
    assert float(batch.images.min()) >= 0.0 and float(batch.images.max()) <= 1.0


def test_equal_generators_give_equal_batches() -> None:
    one, other = (judged_batch(torch.Generator().manual_seed(5), 4) for _ in range(2))
    assert torch.equal(one.images, other.images) and one.specs == other.specs


def test_wear_is_slight() -> None:
    images = torch.full((16, 64, 64, 3), 0.5)
    worn_images = worn(images, torch.Generator().manual_seed(0))
    assert float((worn_images.mean(dim=(1, 2, 3)) - 0.5).abs().max()) < 0.06
    assert not torch.equal(worn_images, images)
