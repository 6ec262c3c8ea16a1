"""The benchmark of answers at start-up."""

from __future__ import annotations

from pathlib import Path

from framework.bench import start_up
from framework.bench.start_up import suite


def test_answers_that_need_no_torch_are_expected_sooner() -> None:
    cases = {case.name: case for case in suite().cases}
    assert len(cases) == 7
    for name in ("help", "an unknown key", "a YAML file that does not parse"):
        (answer,) = cases[name].measure(Path()).measures
        assert answer.at_most == 0.8 and answer.unit == "s" and answer.value is not None and answer.value > 0.0


def test_the_config_of_the_mistakes_exists() -> None:
    assert (Path(__file__).parents[2] / start_up.CONFIG).is_file()
