from __future__ import annotations

import pytest
import torch

from framework.core.schedule import Constant, Ramp
from framework.core.step import StepInfo
from framework.guidance.timesteps import Annealed, Uniform


def _draw(timesteps, step, count=4000, num_timesteps=1000):
    generator = torch.Generator().manual_seed(0)
    return timesteps.draw(count, num_timesteps=num_timesteps, step=step, generator=generator)


def test_uniform_covers_its_range_and_no_more():
    drawn = _draw(Uniform(Uniform.Config(min_fraction=Constant(0.2), max_fraction=Constant(0.25))), StepInfo(0, 10))
    assert sorted(set(drawn.tolist())) == list(range(200, 251))


def test_the_whole_range_ends_at_the_last_timestep():
    drawn = _draw(
        Uniform(Uniform.Config(min_fraction=Constant(0.0), max_fraction=Constant(1.0))), StepInfo(0, 1), 400, 10
    )
    assert sorted(set(drawn.tolist())) == list(range(10))


def test_annealed_begins_high_and_keeps_its_end():
    annealed = Annealed(Annealed.Config())
    largest = [_draw(annealed, StepInfo(step, 900)).max().item() for step in (0, 300, 603, 899)]
    assert largest[0] == 980
    assert largest[1] == pytest.approx(741, abs=2)
    assert largest[2] == largest[3] == 500


def test_crossing_ends_leave_one_timestep():
    config = Uniform.Config(min_fraction=Constant(0.4), max_fraction=Ramp("linear", 0.9, 0.1))
    assert set(_draw(Uniform(config), StepInfo(10, 10)).tolist()) == {400}


@pytest.mark.parametrize("name", ["min_fraction", "max_fraction"])
def test_fractions_beyond_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: timestep fractions lie in"):
        Uniform.Config(**{name: Constant(20.0)})


def test_ends_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="above max_fraction"):
        Annealed.Config(min_fraction=Constant(0.99))
