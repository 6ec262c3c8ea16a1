"""A patch amid a coarse whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from framework.core.step import StepInfo
from framework.renderers.base import Scene
from framework.renderers.patch import Patch
from framework.renderers.volume import Volume
from framework.structures.render_output import Buffer, RenderOutput
from framework.structures.views import Views

TORCH = {"hash-encoding": "torch", "mlp": "torch", "ray-sampling": "torch", "compositing": "torch"}
TRAIN, EVALUATE = StepInfo(0, 100), StepInfo(0, 100, mode="test")
BASE = Volume.Config(samples_per_ray=32)
Make = Callable[..., Scene]


class Still(Volume):
    """Without jitter, so that equal rays see equal things however many others there are."""

    def render(self, views, scene, needs, step):  # type: ignore[no-untyped-def]
        return super().render(views, scene, needs, EVALUATE)


def look(height: int = 24, width: int = 32) -> Views:
    one = torch.ones(2)
    return Views.orbit(one * torch.tensor([0.3, 2.0]), 0.3 * one, 3.0 * one, 0.7 * one, height=height, width=width)


def draw(scene: Scene, views: Views, *, step: StepInfo = TRAIN, **settings: object) -> RenderOutput:
    renderer = Patch(Patch.Config(base=BASE, **settings), backends=TORCH)  # type: ignore[arg-type]
    renderer.base = Still(BASE, backends=TORCH)
    return renderer.render(views, scene, renderer.provides, step)


def whole(scene: Scene, views: Views) -> RenderOutput:
    return Volume(BASE, backends=TORCH).render(views, scene, frozenset({Buffer.NORMAL}), EVALUATE)


def test_the_patch_is_the_image_and_the_rest_is_close_to_it(make_scene: Make) -> None:
    scene, views = make_scene(), look()
    image, exact = draw(scene, views, patch_size=8, downscale=2), whole(scene, views)
    for name in ("rgb", "opacity", "depth", "normal"):
        is_equal = ((getattr(image, name) - getattr(exact, name)).abs() < 1e-5).all(dim=-1).all(dim=0)
        rows, columns = is_equal.nonzero(as_tuple=True)
        windows = is_equal.unfold(0, 8, 1).unfold(1, 8, 1).flatten(2).all(dim=2)
        assert bool(windows.any()) and len(rows) == len(columns) < 24 * 32
    assert (image.rgb - exact.rgb).abs().mean() < 0.02
    assert image.renderer == "patch"


def test_patches_move_from_step_to_step_over_the_whole_image() -> None:
    corners = {Patch._corner(3, 4, StepInfo(step, 1000)) for step in range(400)}
    assert corners == {(top, left) for top in range(4) for left in range(5)}
    assert Patch._corner(3, 4, TRAIN) == Patch._corner(3, 4, TRAIN)


@pytest.mark.parametrize("detach_rest", [False, True])
def test_gradients_come_from_the_patch_alone_if_the_rest_is_detached(make_scene: Make, detach_rest: bool) -> None:
    scene, views = make_scene(), look()
    image = draw(scene, views, patch_size=8, downscale=2, detach_rest=detach_rest)
    top, left = Patch._corner(16, 24, TRAIN)
    around = torch.ones(24, 32)
    around[top : top + 8, left : left + 8] = 0.0
    (image.rgb * around[:, :, None]).sum().backward()
    values = scene.geometry.values.grad
    assert detach_rest == (values is None or not bool(values.any()))


def test_small_images_and_evaluations_are_drawn_as_they_are(make_scene: Make) -> None:
    scene, views = make_scene(), look()
    exact = whole(scene, views).rgb
    assert torch.equal(draw(scene, views, patch_size=32).rgb, exact)
    assert torch.equal(draw(scene, views, patch_size=8, step=EVALUATE).rgb, exact)


def test_a_patch_as_high_as_the_image_moves_sideways(make_scene: Make) -> None:
    scene, views = make_scene(), look()
    image, exact = draw(scene, views, patch_size=24, downscale=4).rgb, whole(scene, views).rgb
    _, left = Patch._corner(0, 8, TRAIN)
    torch.testing.assert_close(image[:, :, left : left + 24], exact[:, :, left : left + 24], atol=1e-5, rtol=0.0)


def test_sizes_that_do_not_fit_are_refused(make_scene: Make) -> None:
    with pytest.raises(ValueError, match="24 x 30 pixels are no multiple of downscale 4"):
        draw(make_scene(), look(width=30), patch_size=8)
    with pytest.raises(ValueError, match="patch_size and downscale must be positive, got 0 and 4"):
        Patch.Config(patch_size=0)
