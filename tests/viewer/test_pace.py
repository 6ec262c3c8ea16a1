"""Training keeps its speed and watchers see enough: simulated, with the times that drawing would take."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from framework.viewer.pace import FULL, SIZES, Pace, Sight


class Simulation:
    """A training of equal steps with one watcher; all times are made up.

    Attributes:
        now: Seconds since the beginning.
        drawn: Seconds spent on pictures.
        waits: From the beginning of each rest to the first full picture.
        sizes: Of all pictures, with when they were there.
    """

    def __init__(self, step: float, cost: Callable[[int], float]) -> None:
        self.step, self.cost, self.pace = step, cost, Pace()
        self.now = self.drawn = 0.0
        self.waits: list[float] = []
        self.sizes: list[tuple[float, int]] = []

    def run(self, seconds: float, moves: Callable[[float], bool]) -> None:
        """Go on for so long; `moves` says whether the watcher moves at a time."""
        end, size, moved_at, shown_step = self.now + seconds, 0, self.now, -1
        for number in itertools.count():
            if self.now >= end:
                return
            self.now += self.step
            self.pace.trained(self.step)
            if moves(self.now):
                size, moved_at = 0, self.now
            sight = Sight(still_for=self.now - moved_at, size=size, is_current=shown_step == number)
            chosen = self.pace.choose("rgb", sight, now=self.now)
            if chosen is None:
                continue
            self.now += self.cost(chosen)
            self.drawn += self.cost(chosen)
            if size < FULL <= chosen:
                self.waits.append(self.now - moved_at)
            size, shown_step = chosen, number
            self.sizes.append((self.now, chosen))
            self.pace.drew("rgb", chosen, self.cost(chosen), now=self.now)


def slow(size: int) -> float:
    """What pictures of the default config take on two cores."""
    return 0.004 + 0.3 * (size / FULL) ** 2


def quick(size: int) -> float:
    """What they take on a GPU."""
    return 0.004 + 0.004 * (size / FULL) ** 2


PATTERNS: dict[str, Callable[[float], bool]] = {
    "always moving": lambda now: True,
    "never moving": lambda now: False,
    "moving now and then": lambda now: now % 8.0 < 2.0,
    "moving each time that a full picture has come": lambda now: now % 3.5 < 0.5,
}


@pytest.mark.parametrize("cost", [slow, quick])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_training_keeps_85_percent_of_its_speed(cost: Callable[[int], float], pattern: str) -> None:
    simulation = Simulation(0.08, cost)
    simulation.run(120.0, PATTERNS[pattern])
    assert len(simulation.sizes) >= 30
    assert 1.0 - simulation.drawn / simulation.now >= 0.85


@pytest.mark.parametrize("step", [0.02, 0.08, 1.0])
@pytest.mark.parametrize("cost", [slow, quick])
def test_who_rests_sees_a_full_picture_within_three_seconds(step: float, cost: Callable[[int], float]) -> None:
    simulation = Simulation(step, cost)
    simulation.run(80.0, PATTERNS["moving now and then"])
    assert len(simulation.waits) >= 9
    assert max(simulation.waits) < 3.0


def test_who_moves_sees_small_pictures_several_times_a_second() -> None:
    simulation = Simulation(0.08, slow)
    simulation.run(60.0, PATTERNS["always moving"])
    late = [size for at, size in simulation.sizes if at > 30.0]
    assert len(late) > 3 * 30 and set(late) <= set(SIZES[:3])


def test_a_quick_machine_draws_larger_pictures() -> None:
    moving, resting = Simulation(0.08, quick), Simulation(0.08, quick)
    moving.run(30.0, PATTERNS["always moving"])
    resting.run(30.0, PATTERNS["never moving"])
    assert moving.sizes[-1][1] >= FULL and resting.sizes[-1][1] == SIZES[-1]


def test_a_picture_at_rest_is_refreshed_as_the_training_goes_on() -> None:
    simulation = Simulation(0.08, slow)
    simulation.run(60.0, PATTERNS["never moving"])
    late = [size for at, size in simulation.sizes if at > 30.0]
    assert set(late) == {FULL} and len(late) >= 8


def test_in_a_pause_a_view_is_drawn_at_once_and_only_once() -> None:
    pace = Pace()
    pace.is_paused = True
    for size in (SIZES[0], FULL):
        pace.drew("rgb", size, slow(size), now=0.0)
    assert pace.choose("rgb", Sight(still_for=0.0, size=0, is_current=False), now=0.0) in SIZES
    full = pace.choose("rgb", Sight(still_for=1.0, size=64, is_current=True), now=0.0)
    assert full is not None and full >= FULL
    assert pace.choose("rgb", Sight(still_for=1.0, size=full, is_current=True), now=9.0) is None


def test_a_dear_kind_of_picture_leaves_the_sizes_of_others() -> None:
    pace = Pace()
    pace.drew("rgb", 64, 0.01, now=0.0)
    pace.drew("normal", 64, 0.1, now=0.0)
    assert pace.expected("normal", FULL) == pytest.approx(1.6) and pace.expected("rgb", FULL) == pytest.approx(0.16)


def test_what_was_owed_to_the_training_is_forgotten_when_nobody_watches() -> None:
    pace = Pace()
    pace.drew("rgb", FULL, 2.0, now=0.0)
    assert not pace.can_afford("rgb", FULL)
    pace.rest()
    pace.trained(100.0)
    assert pace.can_afford("rgb", FULL)
