"""Copies of training images are found out, and what merely follows the same law is not accused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.views import Lights, Views
from framework.toybox.batches import ToyBatch, ToyDraw, training_batch, training_draw
from framework.toybox.evaluation.memorizing import NEAREST_CAMERAS, Collection, Drawn, fitted_nuisances, memorizing
from framework.toybox.evaluation.recognition import differences
from framework.toybox.evaluation.search import Effort
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import SceneSpec, build
from framework.toybox.views import ToyViews, ViewDistribution

FEW, MANY = 150, 3000


@pytest.fixture(autouse=True)
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    effort = Effort(starts=12, generations=2, children=8)
    monkeypatch.setattr("framework.toybox.evaluation.memorizing._EFFORT", effort)


def draws(seed: int) -> list[ToyDraw]:
    """A small batch and a large one."""
    return [
        training_draw(torch.Generator().manual_seed(seed + index), count) for index, count in enumerate((FEW, MANY))
    ]


def drawn(batch: ToyBatch) -> Drawn:
    """Its images, which true renders match in their cameras, but not in light and background."""
    other = ViewDistribution().sample(len(batch.captions), size=64, generator=torch.Generator().manual_seed(9))
    views = dataclasses.replace(batch.views, lights=other.lights, background=other.background)
    return Drawn(batch.images, [scene.spec for scene in batch.scenes], views)


def some(batch: ToyBatch, count: int) -> ToyBatch:
    renders, views = batch.renders[:count], batch.views[:count]
    return ToyBatch(batch.captions[:count], batch.scenes[:count], views, renders)


def rendered(spec: SceneSpec, nuisance: Sequence[float], view: ToyViews, *, size: int) -> Float[Tensor, "H W 3"]:
    cameras = dataclasses.replace(view.cameras, height=size, width=size)
    pack = ScenePack.from_scenes([build(spec, nuisance)])
    return render(pack, cameras=cameras, lights=view.lights, background=view.background).rgb[0]


def test_copies_of_training_images_are_found_out() -> None:
    copies = drawn(some(training_batch(torch.Generator().manual_seed(0), FEW), 8))
    generator = torch.Generator().manual_seed(5)
    found = memorizing(copies, trained=draws(0), untrained=draws(100), generator=generator)
    assert found["trained_images"] == found["untrained_images"] == FEW + MANY
    pixels = found["pixels"]
    assert pixels["samples_nearer_to_trained"] == 1.0
    assert pixels["samples_to_trained"] < 0.25 * pixels["samples_to_untrained"]
    assert pixels["samples_to_trained"] < 0.25 * pixels["true_renders_to_trained"]


def test_new_images_are_as_far_from_training_as_from_other_images() -> None:
    new = drawn(training_batch(torch.Generator().manual_seed(50), 12))
    found = memorizing(new, trained=draws(0), untrained=draws(100), generator=torch.Generator().manual_seed(5))
    assert found["samples"] >= 6
    for measure in ("pixels", "parameters"):
        values = found[measure]
        assert 0.1 <= values["samples_nearer_to_trained"] <= 0.9, measure
        assert 0.6 < values["samples_to_trained"] / values["samples_to_untrained"] < 1.6, measure
    assert 0.0 < found["parameters"]["error_of_fits"] < 0.5


def test_objects_that_were_never_trained_on_leave_nothing_to_compare(spec: Callable[[str], SceneSpec]) -> None:
    held_out = spec("a purple car")
    views = ViewDistribution().sample(1, size=64, generator=torch.Generator().manual_seed(0))
    images = Drawn(torch.zeros(1, 64, 64, 3), [held_out], views)
    found = memorizing(images, trained=draws(0), untrained=draws(100), generator=torch.Generator().manual_seed(0))
    assert found == {"samples": 0, "trained_images": FEW + MANY, "untrained_images": FEW + MANY}


def test_a_collection_keeps_what_shows_the_objects_in_their_colors(spec: Callable[[str], SceneSpec]) -> None:
    batch = draws(0)
    names = [spec("a red car, side view"), spec("a penguin")]
    collection = Collection(batch, names)
    for named, family, color in zip(names, ("car", "penguin"), ("red", None), strict=True):
        rows = [
            nuisance
            for draw in batch
            for shown, nuisance in zip(draw.specs, draw.nuisances, strict=True)
            if shown.objects[0].family == family and color in (None, shown.objects[0].color)
        ]
        assert collection.knows(named)
        torch.testing.assert_close(collection.nuisances(named), torch.tensor(rows))


def test_images_of_a_collection_are_those_from_the_nearest_cameras(spec: Callable[[str], SceneSpec]) -> None:
    penguin, draw = spec("a penguin"), draws(0)[1]
    rows = [row for row, shown in enumerate(draw.specs) if shown.objects[0].family == "penguin"]
    assert len(rows) > NEAREST_CAMERAS
    one = draw.views[rows[3]]
    collection = Collection([draw], [penguin])
    shown = collection.images(penguin, one.cameras.positions[0])
    assert shown.shape == (NEAREST_CAMERAS, 32, 32, 3)
    torch.testing.assert_close(shown[0], rendered(penguin, draw.nuisances[rows[3]], one, size=32))


def test_fitted_nuisances_explain_an_image_better_than_the_middle_scene(spec: Callable[[str], SceneSpec]) -> None:
    table, generator = spec("a red table"), torch.Generator().manual_seed(3)
    drawn_view = ViewDistribution(albedo_share=0.0, light_spread=0.0).sample(1, size=64, generator=generator)
    cameras = drawn_view.cameras
    lights = Lights.ambient_only(cameras.positions)
    view = Views(cameras, drawn_view.azimuth, drawn_view.elevation, drawn_view.distance, lights)
    image = rendered(table, torch.rand(table.num_nuisances, generator=generator).tolist(), drawn_view, size=64)
    fitted = fitted_nuisances(image, view, table, generator=generator)
    middle = [0.5] * table.num_nuisances
    found, usual = differences(image, view, [build(table, fitted.tolist()), build(table, middle)]).tolist()
    assert found < 0.8 * usual
