"""Weights of terms that somebody has set by hand while the run went on.

An edit says from which step on a weight has which value, so that a weight stays a function of the step. `run.json` keeps
the edits, and a run that is resumed makes them again at the same steps.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from framework.core.errors import UserError
from framework.core.run_directory import RunDirectory
from framework.core.schedule import Schedule
from framework.core.step import StepInfo

_NOTE = "weight_edits"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightEdit:
    """One weight, set by hand.

    Attributes:
        step: The first training step that it holds for.
        path: Of the term, such as losses.sparsity.
        value: The weight; None lets its schedule decide again.
    """

    step: int
    path: str
    value: float | None


class WeightEdits:
    """All edits of a run."""

    def __init__(self, edits: Iterable[WeightEdit] = ()) -> None:
        self._edits = list(edits)

    @classmethod
    def of_run(cls, directory: RunDirectory) -> WeightEdits:
        """Those that a run has noted."""
        noted: list[Mapping[str, Any]] = directory.state().get(_NOTE, [])
        return cls(WeightEdit(**item) for item in noted)

    def weight(self, path: str, schedule: Schedule, step: StepInfo) -> float:
        """The weight of a term at `step`."""
        value = self.by_hand(path, step)
        return schedule(step) if value is None else value

    def by_hand(self, path: str, step: StepInfo) -> float | None:
        """What the weight of a term was set to; None where its schedule holds."""
        values = [edit.value for edit in self._edits if edit.path == path and edit.step <= step.step]
        return values[-1] if values else None

    def add(self, edit: WeightEdit, directory: RunDirectory) -> None:
        """Make an edit, and note it in the run; later ones of this term, which a resumed run would make again, go."""
        kept = [item for item in self._edits if item.path != edit.path or item.step < edit.step]
        directory.note({_NOTE: [dataclasses.asdict(item) for item in [*kept, edit]]})
        self._edits = [*kept, edit]
        what = "left to its schedule again" if edit.value is None else f"set to {edit.value:g} by hand"
        _log.info("step %d: the weight of %s was %s.", edit.step, edit.path, what)


def editable_range(schedule: Schedule) -> tuple[float, float]:
    """Between which values a weight may be set: those of its schedule; of a constant, zero and twice its value."""
    low, high = schedule.bounds()
    return (low, high) if low < high else (min(0.0, 2.0 * low), max(0.0, 2.0 * low))


def check_range(path: str, value: float, schedule: Schedule) -> None:
    """Raise UserError unless a weight may be set to `value`."""
    low, high = editable_range(schedule)
    if not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"The weight of {path} must lie in [{low:g}, {high:g}], got {value:g}.")
