"""Reads what Weights & Biases keeps of a run that was logged offline, without the package's own reader of it."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = 32768
_FULL, _FIRST, _MIDDLE, _LAST = range(1, 5)


@dataclass
class OfflineRun:
    """One folder below `wandb/`.

    Attributes:
        identity: Id, project, name, group and tags.
        rows: What was logged, in its order.
        axes: The axis of each metric, by name or pattern.
        machine: Names of what was measured of the machine.
        exit_code: How the run ended, or None where it did not.
    """

    folder: Path
    identity: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    machine: set[str] = field(default_factory=set)
    exit_code: int | None = None

    def keys(self) -> set[str]:
        """What was logged, W&B's own keys left out."""
        return {key for row in self.rows for key in row if not key.startswith("_")}

    def media(self, key: str) -> list[Path]:
        """The files that were logged under `key`, in the order of their steps."""
        return [self.folder / "files" / row[key]["path"] for row in self.rows if key in row]


def offline_runs(root: Path, *, patience: float = 20.0) -> list[OfflineRun]:
    """All that was logged offline into the run folder `root`, oldest first.

    The service writes the end of a file shortly after it has said that the run is finished: `patience` seconds at most.
    """
    folders, until = sorted((root / "wandb").glob("offline-run-*")), time.monotonic() + patience
    while any(_read(folder).exit_code is None for folder in folders) and time.monotonic() < until:
        time.sleep(0.05)
    return [_read(folder) for folder in folders]


def _read(folder: Path) -> OfflineRun:
    from wandb.proto.wandb_internal_pb2 import Record

    run = OfflineRun(folder)
    for data in _records(next(folder.glob("*.wandb")).read_bytes()):
        record = Record.FromString(data)
        if record.HasField("run"):
            start = record.run
            names = {"id": start.run_id, "project": start.project, "name": start.display_name, "group": start.run_group}
            run.identity = {**names, "tags": list(start.tags)}
            run.config |= _items(start.config.update)
        elif record.HasField("history"):
            run.rows.append(_items(record.history.item))
        elif record.HasField("summary"):
            run.summary |= _items(record.summary.update)
        elif record.HasField("metric"):
            run.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif record.HasField("stats"):
            run.machine |= {item.key for item in record.stats.item}
        elif record.HasField("exit"):
            run.exit_code = record.exit.exit_code
    return run


def _items(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        *above, last = item.nested_key or [item.key]
        place = values
        for key in above:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return values


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log, which begins with seven bytes of W&B's own."""
    place, parts = 7, b""
    while place < len(data):
        left = _BLOCK - place % _BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""
