"""How soon the command line answers: help, and each kind of mistake."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from framework.bench.processes import launch
from framework.bench.rows import Measure
from framework.bench.suite import Case, Outcome, Suite

CONFIG = "configs/debug/analytic.yaml"
_REPEATS = 5
_SOON, _AFTER_IMPORTS = 0.8, 3.0
"""Seconds: answers that need no torch, and answers that may."""
_USER_ERROR = 2


def suite() -> Suite:
    """Help and six mistakes."""
    return Suite(
        [
            _case("help", ["--help"], status=0, at_most=_SOON),
            Case("a YAML file that does not parse", _broken_yaml),
            _case("an unknown key", ["--config", CONFIG, "sytem.guidance.guidance_scale=3"], at_most=_SOON),
            _case("an unknown name", ["--config", CONFIG, "system.type=distilation"], at_most=_SOON),
            _case("a value of the wrong type", ["--config", CONFIG, "trainer.max_steps=many"], at_most=_AFTER_IMPORTS),
            _case(
                "a prior folder that is missing", ["--config", CONFIG, "prior=no/such/prior"], at_most=_AFTER_IMPORTS
            ),
            _case("a checkpoint that is missing", ["--config", CONFIG, "resume=no/such.ckpt"], at_most=_AFTER_IMPORTS),
        ]
    )


def _case(name: str, arguments: list[str], *, status: int = _USER_ERROR, at_most: float) -> Case:
    return Case(name, lambda pictures: _answer(arguments, status=status, at_most=at_most))


def _broken_yaml(pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.yaml"
        path.write_text("name: broken\nsystem: {type: distillation\n", encoding="utf-8")
        return _answer(["--config", str(path)], status=_USER_ERROR, at_most=_SOON)


def _answer(arguments: list[str], *, status: int, at_most: float) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        settings = [] if "--help" in arguments else [f"output_root={folder}"]
        runs = [launch(*arguments, *settings, expected_status=status) for _ in range(_REPEATS)]
    seconds = statistics.median(run.seconds for run in runs)
    return Outcome(measures=(Measure(name="answer", value=seconds, unit="s", at_most=at_most),))
