"""Two processes against one: the same two views a step, and the same threads of the processor, divided."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framework.bench.processes import launch, run_folder
from framework.bench.rows import Measure
from framework.bench.steps import CONFIG, speed, times_of_steps
from framework.bench.suite import Case, Outcome, Suite

_STEPS = 200
_TIMED_STEPS = 100
_WAYS = {
    "one process": ("system.streams.random.batch_size=2",),
    "two processes": ("trainer.devices=2",),
    "one process, two micro-steps": ("trainer.accumulate=2",),
}


def suite() -> Suite:
    """One row."""
    return Suite([Case("default config, two views a step", _speeds)])


def _speeds(pictures: Path) -> Outcome:
    speeds = {way: _speed(*settings) for way, settings in _WAYS.items()}
    return Outcome(
        measures=(
            *(Measure(name=way, value=value, unit="steps/s") for way, value in speeds.items()),
            Measure(name="two processes to one", value=speeds["two processes"] / speeds["one process"], unit=""),
        )
    )


def _speed(*settings: str) -> float:
    """Steps a second of the end of a short run."""
    common = [
        f"trainer.max_steps={_STEPS}",
        "trainer.validate_every=0",
        "trainer.checkpoint_every=100000",
        "export=null",
    ]
    with tempfile.TemporaryDirectory() as folder:
        launch("--config", CONFIG, *common, *settings, f"output_root={folder}")
        times = times_of_steps(run_folder(Path(folder)) / "tensorboard")
    return speed(times, _STEPS, steps=_TIMED_STEPS)
