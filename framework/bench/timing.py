"""Times of functions that are compared: called in turn, so that what else the machine does slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def interleaved_medians(
    functions: Mapping[str, Callable[[], object]], *, repeats: int, warm_ups: int = 1
) -> dict[str, float]:
    """Median time of a call of each function, milliseconds.

    Args:
        functions: What is called, by name. On a CUDA device, work that they queue is waited for.
        repeats: Timed calls of each.
        warm_ups: Calls of each before, for compilation and caches.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warm_ups + repeats):
        for name, function in functions.items():
            _wait()
            started = time.perf_counter()
            function()
            _wait()
            if turn >= warm_ups:
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
