"""The largest memory of each phase."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from framework.core import peaks
from framework.core.peaks import PROCESS, Peaks, told

MIB = 1 << 20


def fill(size: int) -> None:
    """Take memory from the system, and give it back; what is only allocated may come from what the process has already."""
    with mmap.mmap(-1, size) as memory:
        memory[:: mmap.PAGESIZE] = bytes(len(range(0, size, mmap.PAGESIZE)))


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets the largest size of a process"
)
def test_phases_are_told_apart_and_one_within_another_counts_for_itself() -> None:
    found = Peaks()
    with found.phase("outer"):
        fill(64 * MIB)
        with found.phase("inner"):
            fill(256 * MIB)
        fill(64 * MIB)
    with found.phase("after"):
        fill(MIB)
    sizes = {name: kinds[PROCESS] for name, kinds in found.found.items()}
    assert sizes["inner"] - sizes["outer"] > 150 * MIB
    assert sizes["outer"] - sizes["after"] > 40 * MIB
    assert found.largest() == sizes["inner"]


def test_phases_grow_over_the_parts_of_a_resumed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_process_peak", lambda: 3 << 30)
    monkeypatch.setattr(peaks, "_device_peak", lambda: 1 << 29)
    found = Peaks()
    with found.phase("training"):
        pass
    before = {"loading": {"process": 1.0}, "training": {"process": 4.0}}
    phases = found.in_gib(before)
    assert phases == {"loading": {"process": 1.0}, "training": {"process": 4.0, "device": 0.5}}
    assert told(phases) == "loading 1.00 GiB, training 4.00 GiB (device 0.50)"


def test_where_nothing_is_forgotten_the_largest_of_the_whole_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_STATUS", Path("/nowhere"))
    monkeypatch.setattr(peaks, "peak_memory", lambda: 7)
    found = Peaks()
    with found.phase("training"):
        pass
    assert found.found == {"training": {PROCESS: 7}}
