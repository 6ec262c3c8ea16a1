"""What a run has made of the mesh file that it started from, as the report shows it."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from framework.core.run_directory import RunDirectory
from framework.report.pictures import Picture, whole_picture

_AZIMUTH = "azimuth_deg"


@dataclass(frozen=True)
class Row:
    """PSNR of one pair, dB: a value for each view, and their mean."""

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over all views."""
        return statistics.fmean(self.values)


@dataclass(frozen=True)
class Refinement:
    """Before and after.

    Attributes:
        picture: A column for each view, one row each for what `shown` names.
        shown: From above.
        azimuths: Of the views, degrees.
        rows: What was compared.
    """

    picture: Picture
    shown: tuple[str, ...]
    azimuths: tuple[float, ...]
    rows: tuple[Row, ...]

    @property
    def knows_truth(self) -> bool:
        """Whether it is known how the result should look."""
        return len(self.rows) > 1


def read_refinement(directory: RunDirectory) -> Refinement | None:
    """The comparison in a run folder; None where there is none.

    Raises:
        OSError: If a file of it cannot be read.
        ValueError: If it is not as `framework.systems` writes it.
    """
    if not directory.refinement.is_file():
        return None
    content = json.loads(directory.refinement.read_text(encoding="utf-8"))
    try:
        views, shown = content["views"], tuple(str(name) for name in content["rows"])
        names = [name for name in views[0] if name != _AZIMUTH]
        rows = tuple(Row(name, tuple(float(view[name]) for view in views)) for name in names)
        azimuths = tuple(float(view[_AZIMUTH]) for view in views)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"its content is not as expected ({type(error).__name__}: {error})") from error
    if not rows or not all(math.isfinite(value) for row in rows for value in row.values):
        raise ValueError("it holds no comparison")
    return Refinement(_picture(directory.refinement_picture), shown, azimuths, rows)


def _picture(path: Path) -> Picture:
    try:
        return whole_picture(path, label="before and after")
    except SyntaxError as error:  # what Pillow raises for some damaged files
        raise ValueError(f"{path.name}: {error}") from error
