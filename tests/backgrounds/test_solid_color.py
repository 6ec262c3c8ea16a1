"""Plain backgrounds and their random replacements in training."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from framework.backgrounds.solid_color import SolidColor
from framework.core.schedule import Constant, Ramp
from framework.core.step import StepInfo, named_generator

DIRECTIONS = F.normalize(torch.randn(400, 5, 3, generator=named_generator(0, "directions")), dim=-1)
TRAIN = StepInfo(3, 100)


def make(**settings: object) -> SolidColor:
    return SolidColor(SolidColor.Config(**settings), generator=named_generator(0, "test"))


def test_a_fixed_color_is_everywhere_and_not_trained() -> None:
    background = make(color=(0.2, 0.4, 0.6))
    assert torch.equal(background.color(DIRECTIONS, TRAIN), torch.tensor([0.2, 0.4, 0.6]).expand(400, 5, 3))
    assert not list(background.parameters())


def test_a_learned_color_begins_at_its_setting_and_receives_gradients() -> None:
    background = make(color=(0.2, 0.4, 0.6), is_learned=True)
    color = background.color(DIRECTIONS, TRAIN)
    torch.testing.assert_close(color[7, 2], torch.tensor([0.2, 0.4, 0.6]))
    color.sum().backward()
    assert background.logit is not None and background.logit.grad is not None
    assert bool((background.logit.grad > 0.0).all())


def test_a_share_of_the_training_views_get_one_random_color_each() -> None:
    background = make(random_probability=Constant(0.25))
    color = background.color(DIRECTIONS, TRAIN)
    is_random = (color[:, 0] != 1.0).any(dim=1)
    assert 0.15 < is_random.float().mean() < 0.35
    assert torch.equal(color, color[:, :1].expand_as(color))
    assert len(color[is_random, 0].unique(dim=0)) == int(is_random.sum())


def test_equal_steps_draw_equal_colors_and_others_do_not() -> None:
    background = make(random_probability=Constant(1.0))
    assert torch.equal(background.color(DIRECTIONS, TRAIN), background.color(DIRECTIONS, TRAIN))
    assert not torch.equal(background.color(DIRECTIONS, TRAIN), background.color(DIRECTIONS, StepInfo(4, 100)))


def test_evaluation_shows_the_fixed_color() -> None:
    color = make(random_probability=Constant(1.0)).color(DIRECTIONS, StepInfo(3, 100, mode="test"))
    assert torch.equal(color, torch.ones(400, 5, 3))


def test_settings_beyond_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"color must lie in \[0, 1\]"):
        SolidColor.Config(color=(1.0, 2.0, 0.0))
    with pytest.raises(ValueError, match=r"random_probability must stay in \[0, 1\], got values from 0 to 2"):
        SolidColor.Config(random_probability=Ramp("linear", 0.0, 2.0))
