"""From a prompt to a textured mesh and its turntable, as the README's commands do it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from framework.bench.processes import largest_memory, launch, run_folder
from framework.bench.rows import BenchError, Measure
from framework.bench.suite import Case, Outcome, Suite
from framework.core.run_directory import RunDirectory

_DELIVERED = ("mesh/model.glb", "turntable.mp4")


def suite() -> Suite:
    """One row for the default config, and one for that of two stages."""
    default = partial(_job, "configs/dreamfusion.yaml", most_seconds=240.0, most_gib=5.0)
    staged = partial(_job, "configs/magic3d.yaml", most_seconds=480.0, most_gib=6.0)
    return Suite(
        [
            Case("default config, command to mesh and turntable", default),
            Case("magic3d, two stages, command to mesh and turntable", staged),
        ]
    )


def _job(config: str, pictures: Path, *, most_seconds: float, most_gib: float) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        finished = launch("--config", config, f"output_root={folder}")
        run = RunDirectory(run_folder(Path(folder))).result().root
        memory = largest_memory(finished, Path(folder))
        missing = [name for name in _DELIVERED if not (run / name).is_file()]
    if missing:
        raise BenchError(f"The run did not write {' and '.join(missing)}.")
    return Outcome(
        measures=(
            Measure(name="time", value=finished.seconds, unit="s", at_most=most_seconds),
            Measure(name="largest memory", value=memory, unit="GiB", at_most=most_gib),
        )
    )
