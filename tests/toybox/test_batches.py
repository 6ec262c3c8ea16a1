"""What the prior is trained on."""

from __future__ import annotations

import pytest
import torch

from framework.toybox.batches import CaptionDistribution, ToyBatch, training_batch, training_draw
from framework.toybox.captions import VIEWS, parse_prompt, view_words
from framework.toybox.colors import COLORS
from framework.toybox.families import FAMILIES
from framework.toybox.scenes import build
from framework.toybox.splits import is_held_out


@pytest.fixture(scope="module")
def many() -> ToyBatch:
    """Many scenes in images too small to matter."""
    return training_batch(torch.Generator().manual_seed(0), 1500, size=2)


def test_images_are_in_range() -> None:
    batch = training_batch(torch.Generator().manual_seed(0), 8, size=16)
    assert batch.images.shape == (8, 16, 16, 3)
    assert batch.images.dtype == torch.float32
    assert batch.images.min() >= 0 and batch.images.max() <= 1
    assert len(batch.captions) == len(batch.scenes) == len(batch.views) == 8


def test_the_generator_is_the_only_source() -> None:
    first, second, other = (training_batch(torch.Generator().manual_seed(seed), 4, size=16) for seed in (0, 0, 1))
    assert torch.equal(first.images, second.images) and first.captions == second.captions
    assert first.captions != other.captions


def test_a_draw_is_what_a_batch_renders() -> None:
    first, second = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    drawn, batch = training_draw(first, 6, size=16), training_batch(second, 6, size=16)
    assert drawn.captions == batch.captions
    assert str([build(*pair) for pair in zip(drawn.specs, drawn.nuisances, strict=True)]) == str(batch.scenes)
    assert torch.equal(drawn.views.cameras.positions, batch.views.cameras.positions)
    assert torch.equal(first.get_state(), second.get_state())


def test_a_scene_is_seen_from_several_sides_and_its_captions_say_which() -> None:
    contents = CaptionDistribution(viewless_share=0.0)
    batch = training_batch(torch.Generator().manual_seed(0), 12, size=16, contents=contents, sides=4)
    for first in (0, 4, 8):
        of_scene = slice(first, first + 4)
        assert len({str(scene) for scene in batch.scenes[of_scene]}) == 1
        angles = zip(batch.views.azimuth[of_scene].tolist(), batch.views.elevation[of_scene].tolist(), strict=True)
        views = [parse_prompt(text).view for text in batch.captions[of_scene]]
        assert views == [view_words(*pair) for pair in angles]
        assert len({text.split(",")[0] for text in batch.captions[of_scene]}) == 1
    assert len({str(scene) for scene in batch.scenes}) == 3


def test_a_batch_that_cannot_be_cut_into_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be a multiple of sides, got 6 and 4"):
        training_draw(torch.Generator().manual_seed(0), 6, sides=4)


def test_a_generator_goes_on_to_new_scenes() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = training_batch(generator, 4, size=16), training_batch(generator, 4, size=16)
    assert not torch.equal(first.images, second.images)


def test_no_scene_is_held_out(many: ToyBatch) -> None:
    assert not any(is_held_out(scene.spec) for scene in many.scenes)


def test_no_two_scenes_are_equal(many: ToyBatch) -> None:
    assert len({str([(part.parameters, part.color) for part in scene.parts]) for scene in many.scenes}) == 1500


def test_captions_say_what_is_shown(many: ToyBatch) -> None:
    angles = zip(many.views.azimuth.tolist(), many.views.elevation.tolist(), strict=True)
    for text, scene, (azimuth, elevation) in zip(many.captions, many.scenes, angles, strict=True):
        spec = parse_prompt(text)
        assert spec is not None
        assert spec.relation == scene.spec.relation
        assert spec.view in (None, view_words(azimuth, elevation))
        for said, shown in zip(spec.objects, scene.spec.objects, strict=True):
            assert said.family == shown.family and said.color in (None, shown.color)


def test_shares_are_kept(many: ToyBatch) -> None:
    specs = [parse_prompt(text) for text in many.captions]
    relations = [spec for spec in specs if spec.relation is not None]
    singles = [FAMILIES[spec.objects[0].family] for spec in specs if spec.relation is None]
    assert len(relations) / 1500 == pytest.approx(0.2, abs=0.04)
    assert sum(family.is_toy for family in singles) / 1500 == pytest.approx(0.45, abs=0.04)
    assert sum(spec.view is None for spec in specs) / 1500 == pytest.approx(0.2, abs=0.04)
    colored = [spec for spec in specs if FAMILIES[spec.objects[0].family].is_colored]
    assert sum(spec.objects[0].color is None for spec in colored) / len(colored) == pytest.approx(1 / 6, abs=0.04)


def test_all_words_occur(many: ToyBatch) -> None:
    specs = [parse_prompt(text) for text in many.captions]
    assert {item.family for spec in specs for item in spec.objects} == set(FAMILIES)
    assert {item.color for spec in specs for item in spec.objects} == {None, *COLORS}
    assert {spec.view for spec in specs} == {None, *VIEWS}


def test_captions_without_colour_mostly_show_the_typical_one(many: ToyBatch) -> None:
    silent = [
        scene.spec.objects[0]
        for text, scene in zip(many.captions, many.scenes, strict=True)
        if scene.spec.relation is None and parse_prompt(text).objects[0].color is None
    ]
    colored = [item for item in silent if FAMILIES[item.family].is_colored]
    typical = sum(item.color == FAMILIES[item.family].typical_color for item in colored)
    assert typical / len(colored) == pytest.approx(0.75 + 0.25 / 12, abs=0.06)


def test_the_mixture_can_be_chosen() -> None:
    contents = CaptionDistribution(toy_share=0.0, shape_share=1.0, colorless_share=0.0, viewless_share=1.0)
    batch = training_batch(torch.Generator().manual_seed(0), 50, size=2, contents=contents)
    for text in batch.captions:
        spec = parse_prompt(text)
        assert spec.relation is None and spec.view is None
        assert spec.objects[0].color is not None and not FAMILIES[spec.objects[0].family].is_toy
