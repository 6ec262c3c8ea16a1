"""Values that vary over a run.

`Schedule` is a pure function of the step. In YAML a bare number is a constant and a mapping names its shape:

    guidance_scale: {type: linear, from: 10, to: 30, between: [100, 500]}     # training steps
    max_timestep:   {type: cosine, from: 0.98, to: 0.5, during: [0.0, 0.6]}   # share of the run

Outside its range a schedule keeps the nearer end's value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from framework.core.errors import did_you_mean
from framework.core.step import StepInfo


class Schedule(ABC):
    """A number that depends on the step."""

    @abstractmethod
    def __call__(self, step: StepInfo) -> float:
        """The value at `step`."""

    @abstractmethod
    def dump(self) -> Any:
        """What `parse_schedule` reads back as an equal schedule."""

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value over any run."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value at every step."""

    value: float

    def __call__(self, step: StepInfo) -> float:
        return self.value

    def dump(self) -> float:
        return self.value

    def bounds(self) -> tuple[float, float]:
        return self.value, self.value


@dataclass(frozen=True)
class Ramp(Schedule):
    """From one value to another along a curve of `RAMPS`, over a range of steps or of progress."""

    shape: str
    start: float
    end: float
    between: tuple[float, float] | None = None
    during: tuple[float, float] | None = None

    def __call__(self, step: StepInfo) -> float:
        if self.between is not None:
            first, last, now = *self.between, float(step.step)
        else:
            first, last, now = *(self.during or (0.0, 1.0)), step.progress
        fraction = min(1.0, max(0.0, (now - first) / (last - first)))
        return RAMPS[self.shape](self.start, self.end, fraction)

    def dump(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"type": self.shape, "from": self.start, "to": self.end}
        if self.between is not None:
            tree["between"] = list(self.between)
        if self.during is not None:
            tree["during"] = list(self.during)
        return tree

    def bounds(self) -> tuple[float, float]:
        return min(self.start, self.end), max(self.start, self.end)


@dataclass(frozen=True)
class Steps(Schedule):
    """Piecewise constant: each value holds from its step on."""

    values: tuple[tuple[int, float], ...]

    def __call__(self, step: StepInfo) -> float:
        return [value for first, value in self.values if first <= step.step][-1]

    def dump(self) -> dict[str, Any]:
        return {"type": "steps", "values": dict(self.values)}

    def bounds(self) -> tuple[float, float]:
        values = [value for _, value in self.values]
        return min(values), max(values)


RAMPS = {
    "linear": lambda start, end, x: start + (end - start) * x,
    "cosine": lambda start, end, x: end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * x)),
    "exponential": lambda start, end, x: start * (end / start) ** x,
    # HiFA (arXiv:2305.18766): quick at first, slow at the end.
    "square-root": lambda start, end, x: start + (end - start) * math.sqrt(x),
}
SHAPES = ("constant", *RAMPS, "steps")


def parse_schedule(value: Any) -> Schedule:
    """The schedule that a YAML value describes.

    Raises:
        ValueError: If it is neither a number nor a well-formed mapping; the message says what to change.
    """
    if isinstance(value, Schedule):
        return value
    if _is_number(value):
        return Constant(float(value))
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a number or a schedule such as {{type: linear, from: 0, to: 1}}, got {value!r}.")
    shape = value.get("type")
    if shape is None:
        raise ValueError(f"'type' is missing. Known: {', '.join(SHAPES)}.")
    if shape not in SHAPES:
        raise ValueError(f"type: no schedule is called {shape!r}.{did_you_mean(str(shape), SHAPES)}")
    if shape == "constant":
        _reject_unknown(value, {"type", "value"})
        return Constant(_number(value, "value"))
    return _parse_steps(value) if shape == "steps" else _parse_ramp(str(shape), value)


def _parse_steps(tree: Mapping[str, Any]) -> Steps:
    _reject_unknown(tree, {"type", "values"})
    values = tree.get("values")
    if not isinstance(values, Mapping) or not all(isinstance(k, int) and _is_number(v) for k, v in values.items()):
        raise ValueError(f"values: expected a mapping from steps to numbers, got {values!r}.")
    if 0 not in values:
        raise ValueError("values: the value at step 0 is missing.")
    return Steps(tuple(sorted((step, float(number)) for step, number in values.items())))


def _parse_ramp(shape: str, tree: Mapping[str, Any]) -> Ramp:
    _reject_unknown(tree, {"type", "from", "to", "between", "during"})
    start, end = _number(tree, "from"), _number(tree, "to")
    if shape == "exponential" and (start <= 0 or end <= 0):
        raise ValueError(f"an exponential schedule needs positive ends, got from {start} to {end}.")
    between, during = _range(tree, "between"), _range(tree, "during")
    if between is not None and during is not None:
        raise ValueError("give either 'between' (steps) or 'during' (share of the run), not both.")
    if during is not None and not (during[0] >= 0.0 and during[1] <= 1.0):
        raise ValueError(f"during: expected shares of the run in [0, 1], got {list(during)}. For steps use 'between'.")
    return Ramp(shape, start, end, between, during)


def _reject_unknown(tree: Mapping[str, Any], known: set[str]) -> None:
    for key in tree:
        if key not in known:
            raise ValueError(f"unknown key {key!r} for schedule '{tree['type']}'.{did_you_mean(str(key), known)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(tree: Mapping[str, Any], key: str) -> float:
    if not _is_number(tree.get(key)):
        raise ValueError(f"{key}: expected a number, got {tree.get(key)!r}.")
    return float(tree[key])


def _range(tree: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    value = tree.get(key)
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(_is_number(item) for item in value):
        raise ValueError(f"{key}: expected two numbers, got {value!r}.")
    if not value[0] < value[1]:
        raise ValueError(f"{key}: the first number must be below the second, got {list(value)}.")
    return float(value[0]), float(value[1])
