"""`report.html`: all of a run on one page that needs nothing else, written from the run's files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from framework.core.errors import UserError
from framework.core.files import write_text
from framework.core.run_directory import RunDirectory
from framework.export.loading import load_glb
from framework.report.comparison import write_comparison
from framework.report.curves import metric_charts, schedule_charts
from framework.report.pictures import Films, MeshView, data_uri, films, mesh_views
from framework.report.record import RunRecord
from framework.report.scores import all_scores
from framework.report.summary import edits, facts, made_by, outcome, remark
from framework.report.template import render

LIMIT = 12_000_000
"""Largest size of a report, bytes."""

_RESERVE = 1_000_000  # Bytes for everything that is no picture.


@dataclass(frozen=True)
class _Turntable:
    """The video as a data: URI, empty if it is not shown, and why not."""

    source: str
    absence: str


@dataclass(frozen=True)
class _MeshPart:
    """Views of the exported mesh with a line about it, and why there are none."""

    views: tuple[MeshView, ...]
    line: str
    absence: str


def write_report(directory: RunDirectory, *, limit: int = LIMIT) -> Path:
    """Write `report.html` into a run folder from the files that lie there; returns its path.

    What is missing is left out, and a sentence says so. Of a run of several stages it shows these side by side.

    Args:
        directory: Any run, however old or unfinished.
        limit: Size that the page keeps within, bytes; a few hundred thousand at least.

    Raises:
        OSError: If it cannot be written there.
    """
    if stages := directory.stages():
        return write_comparison(stages, directory.report, title=RunRecord.read(directory).prompt)
    record = RunRecord.read(directory)
    turntable, mesh = _turntable(directory, limit=limit // 2), _mesh_part(directory)
    spent = len(turntable.source) + sum(view.color.cost + view.normal.cost for view in mesh.views)
    shown = films(directory.images, budget=max(0, limit - min(_RESERVE, limit // 3) - spent))
    scores = all_scores(record.scores)
    content = {
        "record": record,
        "outcome": outcome(record),
        "remark": remark(record),
        "facts": facts(record),
        "turntable": turntable,
        "mesh": mesh,
        "films": shown,
        "metric_charts": metric_charts(record.metrics),
        "schedule_charts": schedule_charts(record.config, record.max_steps) if record.max_steps else [],
        "scores": scores,
        "edits": edits(record),
        "config_text": directory.config.read_text(encoding="utf-8") if record.config else "",
        "made_by": made_by(record),
        "left_out": _left_out(record, [turntable.absence, mesh.absence], shown),
    }
    write_text(directory.report, render("report.html", content))
    return directory.report


def _turntable(directory: RunDirectory, *, limit: int) -> _Turntable:
    path = directory.turntable
    if not path.is_file():
        return _Turntable("", "There is no turntable.")
    source = data_uri(path.read_bytes(), "video/mp4")
    if len(source) > limit:
        return _Turntable("", f"{path.name} is too large to stand here ({path.stat().st_size / 1e6:.1f} MB).")
    return _Turntable(source, "")


def _mesh_part(directory: RunDirectory) -> _MeshPart:
    path = directory.model
    if not path.is_file():
        return _MeshPart((), "", "There are no views of a mesh: none was exported.")
    try:
        mesh = load_glb(path)
        views = mesh_views(mesh)
    except (UserError, ValueError) as error:
        return _MeshPart((), "", f"The mesh cannot be shown: {error}")
    size = path.stat().st_size / 1e6
    return _MeshPart(tuple(views), f"{len(mesh.faces):,} faces, {size:.1f} MB: {path.relative_to(directory.root)}", "")


def _left_out(record: RunRecord, absences: list[str], shown: Films) -> list[str]:
    """A sentence for each part that the page lacks."""
    sentences = [sentence for sentence in absences if sentence]
    for is_missing, sentence in (
        (not shown.films, "There are no validation pictures."),
        (not record.metrics, "There are no curves: no metrics were logged, or they cannot be read."),
        (not record.config, "There is no configuration, and so there are no schedules."),
        (record.scores is None, "The result has not been scored."),
        (not made_by(record), "The run did not note by which versions and on which machine it was made."),
    ):
        sentences += [sentence] if is_missing else []
    return [*record.problems, *sentences]
