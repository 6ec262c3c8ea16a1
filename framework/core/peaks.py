"""How much memory each phase of a run takes at most: of the process, and of its CUDA device.

Linux can be asked to forget the largest size of a process, so that phases are told apart; elsewhere each phase has at least
what the ones before had.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from framework.core.provenance import peak_memory

PROCESS, DEVICE = "process", "device"
_GIB = 1 << 30
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peaks:
    """Phases and their largest memory; one within another does not count for that one.

    Attributes:
        found: Bytes of the process and, where there is one, of its CUDA device, by phase.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, int]] = {}
        self._open: list[str] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What runs within counts as the phase called `name`."""
        self._look()
        self._open.append(name)
        try:
            yield
        finally:
            self._look()
            self._open.pop()

    def largest(self) -> int:
        """The most memory of the process in any phase, bytes; 0 before the first."""
        return max((sizes.get(PROCESS, 0) for sizes in self.found.values()), default=0)

    def in_gib(self, before: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """All phases in GiB, each at least as large as it was `before`, in an earlier part of the run."""
        names = {**before, **self.found}
        return {name: _larger(before.get(name, {}), _gib(self.found.get(name, {}))) for name in names}

    def _look(self) -> None:
        """Count what was largest since the last look for the innermost phase, and forget it."""
        sizes = {PROCESS: _process_peak(), DEVICE: _device_peak()}
        if self._open:
            seen = self.found.setdefault(self._open[-1], {})
            seen.update({kind: max(seen.get(kind, 0), size) for kind, size in sizes.items() if size is not None})


def told(phases: Mapping[str, Mapping[str, float]]) -> str:
    """Phases in GiB as a line for people."""
    return ", ".join(
        f"{name} {sizes.get(PROCESS, 0.0):.2f} GiB" + (f" (device {sizes[DEVICE]:.2f})" if DEVICE in sizes else "")
        for name, sizes in phases.items()
    )


def _process_peak() -> int | None:
    try:
        size = int(re.findall(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())[0]) * 1024
        _FORGET.write_text("5")
    except (OSError, IndexError):
        return peak_memory()
    return size


def _device_peak() -> int | None:
    torch = sys.modules.get("torch")  # What is not imported has taken nothing.
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    size = int(torch.cuda.max_memory_allocated())
    torch.cuda.reset_peak_memory_stats()
    return size


def _gib(sizes: Mapping[str, int]) -> dict[str, float]:
    return {kind: round(size / _GIB, 3) for kind, size in sizes.items()}


def _larger(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {kind: max(one.get(kind, 0.0), other.get(kind, 0.0)) for kind in {**one, **other}}
