"""Training steps a second, read from when a run's own logs were written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framework.bench.processes import largest_memory, launch, run_folder
from framework.bench.rows import BenchError, Measure
from framework.bench.suite import Case, Outcome, Suite

CONFIG = "configs/dreamfusion.yaml"
_TIMED_STEPS = 100
_EARLY = 300
"""Training steps after which empty space has been pruned; the object goes on shrinking to its own size until the end."""
_LEAST_SPEED = 10.0
_METRIC = "loss/total"


def suite() -> Suite:
    """One row."""
    return Suite([Case("default config", _speed)])


def _speed(pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        settings = ["trainer.validate_every=0", "trainer.checkpoint_every=100000", "export=null"]
        finished = launch("--config", CONFIG, *settings, f"output_root={folder}")
        times = times_of_steps(run_folder(Path(folder)) / "tensorboard")
        memory = largest_memory(finished, Path(folder))
    windows = {f"speed before step {_EARLY}": _EARLY, "speed at the end": max(times)}
    return Outcome(
        measures=(
            *(
                Measure(name=name, value=speed(times, until, steps=_TIMED_STEPS), unit="steps/s", at_least=_LEAST_SPEED)
                for name, until in windows.items()
            ),
            Measure(name="largest memory", value=memory, unit="GiB"),
        )
    )


def times_of_steps(folder: Path) -> dict[int, float]:
    """When each logged step of a run was done, seconds, from its TensorBoard files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {event.step: event.wall_time for event in events.Scalars(_METRIC)}


def speed(times: dict[int, float], until: int, *, steps: int) -> float:
    """Steps a second over the `steps` steps that end with step `until`.

    Raises:
        BenchError: If the run logged less.
    """
    missing = [step for step in (until - steps, until) if step not in times]
    if missing:
        raise BenchError(f"the run has no entry for step {missing[0]}; its log ends at step {max(times, default=0)}.")
    return steps / (times[until] - times[until - steps])
