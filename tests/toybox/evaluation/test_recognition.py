"""The nearest true render: what it recognises, and that it is not easily pleased."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from framework.structures.views import Lights, Views
from framework.toybox.evaluation.identity import is_same_shape, vocabulary
from framework.toybox.evaluation.recognition import border_color, candidates, nearest_scene
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import SceneSpec, build
from framework.toybox.views import ToyViews, ViewDistribution

Spec = Callable[[str], SceneSpec]


def drawn(spec: SceneSpec, seed: int) -> tuple[Float[Tensor, "H W 3"], Views]:
    """A true render in a light, on a background and from a camera as in training, and the view."""
    generator = torch.Generator().manual_seed(seed)
    views: ToyViews = ViewDistribution().sample(1, size=64, generator=generator)
    scene = build(spec, torch.rand(spec.num_nuisances, generator=generator).tolist())
    pack = ScenePack.from_scenes([scene])
    images = render(pack, cameras=views.cameras, lights=views.lights, background=views.background)
    lights = Lights.ambient_only(views.cameras.positions)
    return images.rgb[0], Views(views.cameras, views.azimuth, views.elevation, views.distance, lights)


def test_candidates_are_the_vocabulary_in_the_colors_of_the_caption(spec: Spec) -> None:
    single = candidates(spec("a red cube, front view"))
    assert single[0] == spec("a red cube") and len(single) == len(vocabulary())
    assert spec("a red robot") in single and spec("a snowman") in single
    assert spec("a red sphere next to a red cone") in single or spec("a red cone next to a red sphere") in single

    pair = candidates(spec("a red cube on top of a blue cylinder"))
    assert pair[0] == spec("a red cube on top of a blue cylinder")
    assert spec("a red sphere on top of a blue cube") in pair
    assert {spec("a red cylinder"), spec("a blue cylinder")} <= set(pair)


def test_true_renders_are_recognized(spec: Spec) -> None:
    prompts = ["a red cube", "a blue robot", "a snowman", "a green mug", "a brown chair", "a yellow duck"]
    right = []
    for seed, prompt in enumerate(prompts):
        named = spec(prompt)
        image, view = drawn(named, seed)
        right.append(
            is_same_shape(nearest_scene(image, view, named, generator=torch.Generator().manual_seed(1)), named)
        )
    assert sum(right) >= 5


@pytest.mark.parametrize("shown", ["a red sphere", "a red robot", "a red cone on top of a red cube"])
def test_another_scene_is_not_taken_for_the_named_one(shown: str, spec: Spec) -> None:
    named = spec("a red chair")
    image, view = drawn(spec(shown), 3)
    found = nearest_scene(image, view, named, generator=torch.Generator().manual_seed(1))
    assert not is_same_shape(found, named)


def test_the_border_color_is_that_of_the_background() -> None:
    image = torch.zeros(8, 8, 3)
    image[:, :] = torch.tensor([0.2, 0.4, 0.6])
    image[0, :2] = 1.0
    image[3:6, 3:6] = 0.0
    torch.testing.assert_close(border_color(image), torch.tensor([0.2, 0.4, 0.6]))
