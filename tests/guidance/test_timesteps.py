from __future__ import annotations

import itertools

import pytest
import torch

from framework.core.schedule import Constant, Ramp
from framework.core.step import StepInfo
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.guidance.timesteps import Annealed, Prioritized, SquareRoot, Uniform


def _draw(timesteps, step, count=4000, num_timesteps=1000):
    generator = torch.Generator().manual_seed(0)
    schedule = NoiseSchedule.cosine(num_timesteps)
    return timesteps.draw(count, schedule=schedule, step=step, generator=generator)


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


def test_square_root_falls_fast_at_first_and_is_one_for_all_samples():
    timesteps = SquareRoot(SquareRoot.Config(min_fraction=0.3, max_fraction=0.98))
    drawn = [_draw(timesteps, StepInfo(step, 100), 5) for step in (0, 1, 25, 100)]
    assert [set(item.tolist()) for item in drawn] == [{980}, {912}, {640}, {300}]


def test_prioritized_never_rises_and_spends_its_steps_where_the_density_is():
    timesteps = Prioritized(Prioritized.Config())
    drawn = [_draw(timesteps, StepInfo(step, 2000), 1).item() for step in range(0, 2001, 10)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(drawn))
    density = timesteps.density(NoiseSchedule.cosine(1000))
    in_plateau = sum(500 <= item <= 800 for item in drawn) / len(drawn)
    assert in_plateau == pytest.approx(float(density[500:801].sum()), abs=0.02)


def test_prioritized_density_is_the_noise_to_signal_ratio_on_the_plateau_and_has_gaussian_flanks():
    schedule = NoiseSchedule.cosine(1000)
    density = Prioritized(Prioritized.Config()).density(schedule)
    ratio = (schedule.sigmas / schedule.alphas).double()
    assert density.sum().item() == pytest.approx(1.0)
    assert (density[700] / density[600]).item() == pytest.approx((ratio[700] / ratio[600]).item(), rel=1e-6)
    flank = (density[400] / density[500]) / (ratio[400] / ratio[500])
    assert flank.item() == pytest.approx(torch.tensor(-0.5).exp().item(), rel=1e-5)  # One deviation below.


@pytest.mark.parametrize("wrong", [{"low": 0.9}, {"low_deviation": 0.0}, {"high": 1.2}])
def test_impossible_plateaus_are_refused(wrong):
    with pytest.raises(ValueError):
        Prioritized.Config(**wrong)
