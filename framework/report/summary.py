"""A run in a few words: how it ended, how long it took, and by what it was made."""

from __future__ import annotations

from typing import Any

from framework.core.peaks import told
from framework.report.record import RunRecord, setting


def outcome(record: RunRecord) -> str:
    """The state of the run: finished, interrupted, failed, running or unknown."""
    state = record.state.get("state")
    return state if state in ("finished", "interrupted", "failed", "running") else "unknown"


def remark(record: RunRecord) -> str:
    """What went wrong, or what is left to do; empty for a run without fault."""
    state, reason = outcome(record), str(record.state.get("reason") or "")
    if state == "finished":
        return f"Training is done, but the export failed: {reason}" if reason else ""
    if state == "failed":
        return reason or "The run ended with an error that it could not note."
    if state == "interrupted":
        return f"Stopped by the user and saved. Go on with: resume={record.directory.root}"
    if state == "running":
        return "The run was going on when this page was written, or was ended from outside."
    return "How the run ended is not recorded."


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """Names and values of what matters most."""
    config, found = record.config, [("Steps", steps(record))]
    found += [("Begun", f"{record.started:%d %B %Y, %H:%M}")] if record.started else []
    found.append(("Time", "not recorded" if record.seconds is None else duration(record.seconds)))
    if phases := record.memory:
        found.append(("Peak memory", told(phases)))
    if system := setting(config, "system", "type"):
        found.append(("System", str(system)))
    if terms := setting(config, "system", "guidance"):
        found.append(("Prior", str(setting(config, "prior", "type"))))
        found.append(("Guidance", ", ".join(dict.fromkeys(str(setting(terms, name, "type")) for name in terms))))
    if geometry := setting(config, "system", "scene", "geometry", "type"):
        found.append(("Geometry", str(geometry)))
    return [*found, ("Seed", str(config["seed"]))] if "seed" in config else found


def steps(record: RunRecord) -> str:
    """How many training steps were done, or saved at least."""
    done = record.state.get("step")
    if not isinstance(done, int):
        return "not recorded"
    return f"{done:,}" if record.max_steps is None else f"{done:,} of {record.max_steps:,}"


def duration(seconds: float) -> str:
    """A time as a reader wants it: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def edits(record: RunRecord) -> list[tuple[str, str, str]]:
    """Weights that were set by hand: from which step on, of which term, to what."""
    noted = record.state.get("weight_edits")
    found = [item for item in noted if isinstance(item, dict)] if isinstance(noted, list) else []
    return [(str(item.get("step")), str(item.get("path")), _weight(item.get("value"))) for item in found]


def _weight(value: Any) -> str:
    return "as scheduled" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def made_by(record: RunRecord) -> list[tuple[str, str]]:
    """Commit, machine and versions, as far as the run noted them."""
    noted = record.state.get("made_by")
    found = [(name, str(setting(noted, name))) for name in ("commit", "machine") if setting(noted, name)]
    versions: Any = setting(noted, "versions")
    return found + ([(name, str(value)) for name, value in versions.items()] if isinstance(versions, dict) else [])
