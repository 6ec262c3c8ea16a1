"""The benchmark of the operations, at sizes that take no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.bench.operations import BACKENDS, ISOSURFACES, Sizes, suite

TINY = Sizes(
    points=64,
    log2_table_size=6,
    image_size=4,
    subdivisions=2,
    cast_size=16,
    cells=(6, 6),
    toys=2,
    unwrapped=1,
    texture_size=32,
    repeats=1,
)
CASES = {case.name: case for case in suite(TINY).cases}
COMPILED = "hash encoding, 64 points x 16 levels x 2, twin under torch.compile"
SURFACES = [f"surface of {name}, 6^3 cells, forward and backward" for name in ISOSURFACES]
TEXTURING = "unwrapping and baking, 80 faces, 32 x 32"
TOYBOX = "toybox, captioned images of 64 x 64, 2 at a time"


@pytest.mark.parametrize("name", [name for name in CASES if name not in (COMPILED, TEXTURING, TOYBOX, *SURFACES)])
def test_every_operation_is_timed_in_each_implementation(name: str) -> None:
    measures = CASES[name].measure(Path()).measures
    expected = BACKENDS[:1] if "320 faces" in name else BACKENDS
    assert tuple(measure.name for measure in measures) == expected
    assert all(measure.unit == "ms" and measure.value is not None and measure.value > 0 for measure in measures)


def test_the_toybox_is_timed_in_images_a_second_against_its_target() -> None:
    (speed,) = CASES[TOYBOX].measure(Path()).measures
    assert (speed.unit, speed.at_least) == ("images/s", 200.0)
    assert speed.value is not None and speed.value > 0


def test_texturing_is_timed_in_seconds_against_its_target() -> None:
    both, *parts = CASES[TEXTURING].measure(Path()).measures
    assert (both.name, both.unit, both.at_most) == ("both", "s", 20.0)
    values = [part.value for part in parts if part.value is not None]
    assert len(values) == 2 and both.value == pytest.approx(sum(values))


@pytest.mark.parametrize("name", SURFACES)
def test_surfaces_of_grids_are_timed_against_their_target(name: str) -> None:
    outcome = CASES[name].measure(Path())
    (measure,) = outcome.measures
    assert (measure.name, measure.unit, measure.at_most) == ("torch", "ms", 150.0)
    assert measure.value is not None and measure.value > 0
    assert "faces." in outcome.note


def test_the_compiled_twin_has_a_row_of_its_own_because_compiling_takes_long() -> None:
    assert COMPILED in CASES


def test_the_default_sizes_are_those_of_the_targets() -> None:
    cases = suite().cases
    names = [case.name for case in cases]
    assert names[0] == "hash encoding, 262,144 points x 16 levels x 2, to the table"
    assert "ray casting, 81,920 faces, 512 x 512 rays" in names


def test_targets_are_those_of_the_fastest_implementation() -> None:
    for name, limit in zip(list(CASES)[:2], (130.0, 220.0), strict=True):
        warp, torch = CASES[name].measure(Path()).measures
        assert (warp.at_most, torch.at_most) == (limit, None)
