"""Several runs side by side, each with a link to its own report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from framework.core.errors import UserError
from framework.core.files import write_text
from framework.core.run_directory import RunDirectory
from framework.export.loading import load_glb
from framework.report.pictures import Picture, last_picture, mesh_views
from framework.report.record import RunRecord
from framework.report.scores import Score, main_scores
from framework.report.summary import duration, outcome, remark
from framework.report.template import render

_THUMBNAIL = 192


@dataclass(frozen=True)
class Card:
    """One run of a comparison.

    Attributes:
        record: The run.
        outcome, remark: How it ended.
        time: How long it took; empty where that is not recorded.
        pictures: Front and back of its mesh, else its last validation picture, else none.
        scores: The main ones.
        link: Its report, relative to the page; empty if there is none.
    """

    record: RunRecord
    outcome: str
    remark: str
    time: str
    pictures: tuple[Picture, ...]
    scores: tuple[Score, ...]
    link: str


def write_comparison(directories: Sequence[RunDirectory], path: Path, *, title: str = "Runs side by side") -> Path:
    """Write a page that shows several runs in the given order to `path`, and return that.

    Raises:
        OSError: If it cannot be written there.
    """
    cards = [_card(directory, path.parent) for directory in directories]
    write_text(path, render("comparison.html", {"title": title, "cards": cards}))
    return path


def _card(directory: RunDirectory, folder: Path) -> Card:
    record = RunRecord.read(directory)
    return Card(
        record=record,
        outcome=outcome(record),
        remark=remark(record),
        time="" if record.seconds is None else duration(record.seconds),
        pictures=_thumbnails(directory),
        scores=tuple(main_scores(record.scores)),
        link=_link(directory.report, folder) if directory.report.is_file() else "",
    )


def _thumbnails(directory: RunDirectory) -> tuple[Picture, ...]:
    try:
        views = mesh_views(load_glb(directory.model), sides=("front", "back"), size=_THUMBNAIL)
        return tuple(view.color for view in views)
    except (UserError, ValueError):
        # Without a mesh, or with one that cannot be read, the last look at the scene has to do.
        picture = last_picture(directory.images, width=2 * _THUMBNAIL)
        return (picture,) if picture else ()


def _link(target: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())
