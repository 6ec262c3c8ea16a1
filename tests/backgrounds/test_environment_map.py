"""A surrounding that is learned."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from framework.backgrounds.environment_map import EnvironmentMap
from framework.core.schedule import Constant
from framework.core.step import StepInfo, named_generator

DIRECTIONS = F.normalize(torch.randn(3, 5, 3, generator=named_generator(0, "directions")), dim=-1)


def make(**settings: object) -> EnvironmentMap:
    return EnvironmentMap(EnvironmentMap.Config(**settings), generator=named_generator(0, "test"))


def test_its_color_depends_on_the_direction_alone_and_trains_all_its_weights() -> None:
    background = make()
    color = background.color(DIRECTIONS, StepInfo(0, 1))
    turned = background.color(DIRECTIONS.flip(0), StepInfo(5, 9))
    torch.testing.assert_close(turned, color.flip(0))
    assert color.std(dim=(0, 1)).min() > 1e-3
    color.square().sum().backward()
    assert all(bool((weight.grad != 0.0).any()) for weight in background.parameters() if weight.grad is not None)
    assert all(weight.grad is not None for weight in background.parameters())


def test_a_view_with_a_random_color_does_not_train_it() -> None:
    background = make(random_probability=Constant(1.0))
    color = background.color(DIRECTIONS, StepInfo(0, 1))
    assert torch.equal(color, color[:, :1].expand_as(color))
    color.sum().backward()
    assert all(not bool(weight.grad.any()) for weight in background.parameters() if weight.grad is not None)
