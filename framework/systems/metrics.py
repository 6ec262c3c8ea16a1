"""Metrics on disk: `metrics.csv`, readable while the run goes on and continued by a resumed one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framework.core.files import replacing


class MetricsFile:
    """Rows of numbers by step. A column that appears late is added to the head and left empty above."""

    def __init__(self, path: Path, *, start_step: int) -> None:
        """Continue `path`, forgetting rows after `start_step`, which a resumed run will write again."""
        self.path = path
        self.columns: list[str] = ["step"]
        rows = self._read() if path.is_file() else []
        self._rewrite([row for row in rows if int(row["step"]) <= start_step])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row."""
        new = [name for name in values if name not in self.columns]
        if new:
            rows = self._read()
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow({"step": step, **{k: f"{v:.6g}" for k, v in values.items()}})

    def _read(self) -> list[dict[str, Any]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            # A row that was cut short lacks cells; its step may be cut, too.
            rows = [row for row in reader if (row.get("step") or "").isdigit() and None not in row.values()]
            self.columns = list(reader.fieldnames or self.columns)
        return rows

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
