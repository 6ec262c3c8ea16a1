"""Smoothness of images against its formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from framework.losses.image import NormalSmoothness2d, TotalVariation
from framework.structures.losses import Frame
from framework.structures.render_output import Buffer

Make = Callable[..., Frame]


def test_total_variation_of_a_ramp_is_its_two_slopes(make_frame: Make) -> None:
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    frame = make_frame(torch.ones(4, 5), depth=0.5 * y - 0.25 * x)
    assert TotalVariation(TotalVariation.Config(of="depth"))(frame).losses["total-variation"].item() == pytest.approx(
        0.75
    )


def test_total_variation_of_a_step_does_not_depend_on_how_soft_it_is(make_frame: Make) -> None:
    loss = TotalVariation(TotalVariation.Config(of="opacity"))
    hard, soft = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 0.3, 0.7, 1.0])
    values = [loss(make_frame(row.expand(3, 4))).losses["total-variation"].item() for row in (hard, soft)]
    assert values == pytest.approx([1.0 / 3.0] * 2)


@pytest.mark.parametrize("name", ["rgb", "normal", "depth", "opacity"])
def test_it_needs_the_image_that_it_compares(name: str) -> None:
    config = TotalVariation.Config(of=name)  # type: ignore[arg-type]
    assert TotalVariation.needs_of(config) == TotalVariation(config).needs == {Buffer[name.upper()]}


def test_normals_are_compared_between_opaque_neighbours_alone(make_frame: Make) -> None:
    normal = torch.zeros(1, 2, 3, 3)
    normal[..., 0] = 1.0
    normal[0, 1, 1] = torch.tensor([0.0, 1.0, 0.0])
    opacity = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    loss = NormalSmoothness2d(NormalSmoothness2d.Config())(make_frame(opacity, normal=normal))
    # Of two opaque pairs above each other, and of two side by side, one differs, by (1 + 1 + 0) / 3.
    assert loss.losses["normal-smoothness-2d"].item() == pytest.approx(2.0 * 0.5 * 2.0 / 3.0)


def test_an_empty_image_is_smooth_and_opacity_gets_no_gradient(make_frame: Make) -> None:
    normal, loss = torch.randn(1, 2, 3, 3, requires_grad=True), NormalSmoothness2d(NormalSmoothness2d.Config())
    assert loss(make_frame(torch.zeros(2, 3), normal=normal)).losses["normal-smoothness-2d"].item() == 0.0
    opacity = torch.ones(2, 3, requires_grad=True)
    loss(make_frame(opacity, normal=normal)).losses["normal-smoothness-2d"].backward()
    assert opacity.grad is None and normal.grad is not None and bool(normal.grad.any())
