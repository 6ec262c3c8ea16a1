"""Training steps a second, read from when a run's own logs were written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framework.bench.processes import GIB, launch, run_folder
from framework.bench.rows import BenchError, Measure
from framework.bench.suite import Case, Outcome, Suite

CONFIG = "configs/dreamfusion.yaml"
_STEPS, _TIMED_STEPS = 300, 100
_LEAST_SPEED = 10.0
_METRIC = "loss/total"


def suite() -> Suite:
    """One row."""
    return Suite([Case("default config", _speed)])


def _speed(pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"trainer.max_steps={_STEPS}", "trainer.validate_every=0", f"trainer.checkpoint_every={_STEPS}"]
        finished = launch("--config", CONFIG, *settings, "export=null", f"output_root={folder}")
        speed = speed_of_last_steps(run_folder(Path(folder)) / "tensorboard", steps=_TIMED_STEPS)
    return Outcome(
        measures=(
            Measure(name="speed", value=speed, unit="steps/s", at_least=_LEAST_SPEED),
            Measure(name="largest memory", value=finished.peak_bytes / GIB, unit="GiB"),
        )
    )


def speed_of_last_steps(folder: Path, *, steps: int) -> float:
    """Steps a second over the last `steps` of a run, from the times in its TensorBoard files.

    Raises:
        BenchError: If the run logged less.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    times = {event.step: event.wall_time for event in events.Scalars(_METRIC)}
    last = max(times)
    if last - steps not in times:
        raise BenchError(f"{folder} has no entry for step {last - steps}, {steps} before the last one.")
    return steps / (times[last] - times[last - steps])
