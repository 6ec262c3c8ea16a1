"""Gradients through one pixel of each block."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.core.step import StepInfo
from framework.renderers.base import Scene
from framework.renderers.strided import Strided
from framework.renderers.volume import Volume
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

TORCH = {"hash-encoding": "torch", "mlp": "torch", "ray-sampling": "torch", "compositing": "torch"}
TRAIN, EVALUATE = StepInfo(0, 100), StepInfo(0, 100, mode="test")
BASE = Volume.Config(samples_per_ray=24)
NEEDS = frozenset({Buffer.NORMAL})
Make = Callable[..., Scene]


class Still(Volume):
    """Without jitter, so that equal rays see equal things however many others there are."""

    def render(self, views, scene, needs, step):  # type: ignore[no-untyped-def]
        return super().render(views, scene, needs, EVALUATE)


def look(height: int = 9, width: int = 8) -> Views:
    one = torch.ones(2)
    return Views.orbit(one * torch.tensor([0.3, 2.0]), 0.3 * one, 3.0 * one, 0.7 * one, height=height, width=width)


def draw(scene: Scene, views: Views, *, step: StepInfo = TRAIN, stride: int = 2) -> RenderOutput:
    renderer = Strided(Strided.Config(base=BASE, stride=stride), backends=TORCH)
    renderer.base = Still(BASE, backends=TORCH)
    return renderer.render(views, scene, NEEDS, step)


def gradient(scene: Scene, image: Tensor) -> Tensor:
    scene.geometry.zero_grad()
    weights = torch.linspace(0.5, 2.0, image.numel()).view(image.shape)
    (weights * image).sum().backward()
    assert scene.geometry.values.grad is not None
    return scene.geometry.values.grad.clone()


@pytest.mark.parametrize("stride", [2, 3])
def test_the_image_is_that_of_the_base(make_scene: Make, stride: int) -> None:
    scene, views = make_scene(), look()
    image, exact = draw(scene, views, stride=stride), Volume(BASE, backends=TORCH).render(views, scene, NEEDS, EVALUATE)
    for name in ("rgb", "opacity", "depth", "normal"):
        torch.testing.assert_close(getattr(image, name), getattr(exact, name), atol=1e-5, rtol=0.0)
    assert image.renderer == "strided"


def test_gradients_are_right_in_the_mean_over_all_places(make_scene: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, views = make_scene(resolution=8), look()
    places = iter([row for place in [(0, 0), (0, 1), (1, 0), (1, 1)] for row in place])
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: torch.tensor(next(places)))
    mean = torch.stack([gradient(scene, draw(scene, views).rgb) for _ in range(4)]).mean(dim=0)
    exact = gradient(scene, Volume(BASE, backends=TORCH).render(views, scene, NEEDS, EVALUATE).rgb)
    torch.testing.assert_close(mean, exact, atol=1e-4 * exact.abs().max().item(), rtol=1e-3)


def test_all_places_are_drawn(make_scene: Make) -> None:
    scene, views = make_scene(resolution=4), look(height=2, width=2)
    moved = set()
    for step in range(40):
        image = draw(scene, views, step=StepInfo(step, 100)).rgb
        image.retain_grad()
        pixels = [
            torch.autograd.grad(image[0, i, j].sum(), scene.geometry.values, retain_graph=True)[0].any().item()
            for i in range(2)
            for j in range(2)
        ]
        assert sum(pixels) == 1
        moved.add(pixels.index(True))
    assert moved == {0, 1, 2, 3}


def test_evaluation_and_a_stride_of_one_are_the_base_itself(make_scene: Make) -> None:
    scene, views = make_scene(), look()
    exact = Volume(BASE, backends=TORCH).render(views, scene, NEEDS, EVALUATE).rgb
    assert torch.equal(draw(scene, views, step=EVALUATE).rgb, exact)
    assert torch.equal(draw(scene, views, stride=1).rgb, exact)


def test_sizes_that_do_not_fit_are_refused(make_scene: Make) -> None:
    with pytest.raises(ValueError, match="an image of 9 x 8 pixels is smaller than stride 9"):
        draw(make_scene(), look(), stride=9)
    with pytest.raises(ValueError, match="stride must be positive, got 0"):
        Strided.Config(stride=0)
