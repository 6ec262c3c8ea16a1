"""The README's command, from a prompt to a textured mesh and its turntable."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framework.bench.processes import GIB, launch, run_folder
from framework.bench.rows import BenchError, Measure
from framework.bench.suite import Case, Outcome, Suite

CONFIG = "configs/dreamfusion.yaml"
_MOST_SECONDS, _MOST_GIB = 240.0, 5.0
_DELIVERED = ("mesh/model.glb", "turntable.mp4")


def suite() -> Suite:
    """One row."""
    return Suite([Case("default config, command to mesh and turntable", _main_job)])


def _main_job(pictures: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        finished = launch("--config", CONFIG, f"output_root={folder}")
        run = run_folder(Path(folder))
        missing = [name for name in _DELIVERED if not (run / name).is_file()]
    if missing:
        raise BenchError(f"The run did not write {' and '.join(missing)}.")
    return Outcome(
        measures=(
            Measure(name="time", value=finished.seconds, unit="s", at_most=_MOST_SECONDS),
            Measure(name="largest memory", value=finished.peak_bytes / GIB, unit="GiB", at_most=_MOST_GIB),
        )
    )
