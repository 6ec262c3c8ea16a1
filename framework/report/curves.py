"""Which curves a report shows: from the logged metrics, and from the schedules of the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from framework.core.schedule import Constant, Ramp, Schedule, Steps, parse_schedule
from framework.core.step import StepInfo
from framework.report.charts import Chart, Series, Style, draw
from framework.report.record import Points

_SAMPLES = 120
_SURROGATE = (
    "The value of a guidance's loss means nothing, and neither does a sum that holds it; its gradient norm is drawn."
)


def metric_charts(metrics: Mapping[str, Points]) -> list[Chart]:
    """Gradient norms, losses, learning rates, timesteps, and whatever else was logged and is not constant.

    Weights of terms are left to the schedules, from which they come.
    """
    norms = {name: _owner(name, "all parameters") for name in metrics if _leaf(name) == "gradient_norm"}
    losses = {name: name.removeprefix("loss/").removeprefix("losses.") for name in metrics if _is_loss(name, metrics)}
    rates = {name: name.removeprefix("learning_rate/") for name in metrics if name.startswith("learning_rate/")}
    timesteps = {name: _owner(name, "timestep") for name in metrics if _leaf(name) == "timestep"}
    is_guided = any(name.startswith("loss/guidance.") for name in metrics)
    charts = _chart("Gradient norm", norms, metrics, "noisy")
    charts += _chart("Losses, unweighted", losses, metrics, "noisy", _SURROGATE if is_guided else "")
    charts += _chart("Learning rate", rates, metrics, "plain")
    charts += _chart("Timesteps drawn", timesteps, metrics, "dots")
    return charts + _other_charts(metrics, {*norms, *losses, *rates, *timesteps})


def schedule_charts(config: Mapping[str, Any], max_steps: int) -> list[Chart]:
    """Each schedule of the config that is not constant, those of one component together."""
    groups: dict[tuple[str, ...], dict[str, Schedule]] = {}
    for path, schedule in schedules(config):
        groups.setdefault(path[:-1], {})[path[-1]] = schedule
    charts = []
    for path, members in groups.items():
        series = [Series(name, _sampled(schedule, max_steps)) for name, schedule in members.items()]
        # Each shape is drawn on the axis on which it is straight.
        is_log = all(isinstance(item, Ramp) and item.shape == "exponential" for item in members.values())
        charts.append(draw(_title(path), series, is_log=is_log))
    return charts


def schedules(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schedule]]:
    """All schedules in a plain tree that are not constant, with their paths."""
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping):
        return
    try:
        schedule = parse_schedule(tree)
    except ValueError:
        # A mapping that is no schedule; some of those below it may be.
        for key, item in tree.items():
            yield from schedules(item, (*path, str(key)))
        return
    if not isinstance(schedule, Constant):
        yield path, schedule


def _is_loss(name: str, metrics: Mapping[str, Points]) -> bool:
    """Whether a column is a loss whose value says something."""
    if not name.startswith("loss/") or name.startswith("loss/guidance."):
        return False
    others = [item for item in metrics if item.startswith("loss/") and item != "loss/total"]
    return name != "loss/total" or (len(others) > 1 and not any(item.startswith("loss/guidance.") for item in others))


def _other_charts(metrics: Mapping[str, Points], shown: set[str]) -> list[Chart]:
    groups: dict[str, dict[str, str]] = {}
    for name, points in metrics.items():
        is_constant = len({value for _, value in points}) < 2
        if name not in shown and not is_constant and not name.startswith(("loss/", "weight/")):
            groups.setdefault(_leaf(name), {})[name] = _owner(name, _leaf(name))
    return [chart for leaf, names in groups.items() for chart in _chart(_words(leaf), names, metrics, "noisy")]


def _chart(
    title: str, names: Mapping[str, str], metrics: Mapping[str, Points], style: Style, note: str = ""
) -> list[Chart]:
    """A chart of the columns in `names`, under the names given there; none if there are none."""
    series = [Series(shown, metrics[name]) for name, shown in names.items()]
    return [draw(title, series, style=style, note=note)] if series else []


def _sampled(schedule: Schedule, max_steps: int) -> Points:
    """Values over a run, exact at all corners."""
    steps = {round(k * max_steps / _SAMPLES) for k in range(_SAMPLES + 1)}
    if isinstance(schedule, Steps):
        steps |= {step for first, _ in schedule.values for step in (first - 1, first)}
    if isinstance(schedule, Ramp):
        steps |= {round(step) for step in schedule.between or ()}
        steps |= {round(share * max_steps) for share in schedule.during or ()}
    inside = sorted(step for step in steps if 0 <= step <= max_steps)
    return tuple((float(step), schedule(StepInfo(step, max_steps))) for step in inside)


def _title(path: tuple[str, ...]) -> str:
    return ".".join(path[1:] if path[:1] == ("system",) else path) or "run"


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _owner(name: str, default: str) -> str:
    return name.rpartition("/")[0].removeprefix("guidance.") or default


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
