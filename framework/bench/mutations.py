"""Configs with mistakes in them, made from real ones: each mutation is one that people and their editors make.

A mutation changes the plain tree of a file, with what it extends laid underneath, or its text.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from framework.core.yaml_tree import load_tree

WRONG_VALUES: tuple[Any, ...] = (
    None,
    True,
    "many",
    "",
    "-",
    [1, 2],
    [[]],
    {},
    {"a": 1},
    {"type": "linear"},
    {"type": None},
    {"type": ["sds"]},
    {"type": {"a": 1}},
    {1: 2},
    0.5,
    7,
    "yes",
    "1e-2",
    "???",
    "${nowhere}",
    "${prompt}",
    "${",
    "a/b",
    "../..",
)
NUMBERS: tuple[float, ...] = (
    -1,
    0,
    1,
    2,
    -0.5,
    1.5,
    90,
    -(10**9),
    10**6,
    10**30,
    1e-300,
    1e300,
    float("inf"),
    float("nan"),
)
SCHEDULES: tuple[Any, ...] = (
    {"type": "linear", "from": 0, "to": 1},
    {"type": "linear", "from": 0, "to": 1, "between": [100, 50]},
    {"type": "linear", "from": 0, "to": 1, "between": [0, 1, 2]},
    {"type": "linear", "from": 0, "to": 1, "during": [0, 1.5]},
    {"type": "linear", "from": 0, "to": 1, "during": [0, 1], "between": [0, 1]},
    {"type": "linear", "from": "low", "to": 1},
    {"type": "linear", "to": 1},
    {"type": "linar", "from": 0, "to": 1},
    {"type": "exponential", "from": 0, "to": 1},
    {"type": "exponential", "from": -1, "to": -2},
    {"type": "cosine", "from": float("nan"), "to": 1},
    {"type": "steps", "values": {5: 1}},
    {"type": "steps", "values": {0: "one"}},
    {"type": "steps", "values": [1, 2]},
    {"type": "steps", "values": {0: 1, -3: 2}},
    {"type": "constant"},
    {"type": 3, "from": 0},
    {"from": 0, "to": 1},
    [[0, 1], [5, 2]],
)
TEXTS = (
    "\u96ea\u3060\u308b\u307e",
    "\U0001f984",
    "caf\u00e9 \u202e esrever",
    "a\u0000b",
    "tab\tand\nline",
    "x" * 5000,
    "\ud83d",
    "[bold]a[/bold]",
)
PATHS = (
    "scene.nowhere",
    "scene.geometri",
    "guidance.main.adapter",
    "scenes.0.geometry",
    "scene",
    "",
    ".",
    "a..b",
    "system",
)


@dataclass(frozen=True)
class Mutant:
    """A config with a mistake.

    Attributes:
        source: The real config, relative to the folder of configs.
        change: What was done to it.
        text: What the file holds, to be written where the source lies.
    """

    source: Path
    change: str
    text: bytes


def mutants(folder: Path, count: int, *, seed: int) -> Iterator[Mutant]:
    """`count` mutants of the configs in `folder`, each of which depends on its number and the seed alone."""
    sources = sorted(path for path in folder.rglob("*.yaml") if not path.is_relative_to(folder / "parts"))
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        source = draw.choice(sources)
        text, change = _of_text(source, draw) if draw.random() < 0.25 else _of_tree(source, draw)
        yield Mutant(source.relative_to(folder), change, text)


def _of_tree(source: Path, draw: random.Random) -> tuple[bytes, str]:
    """A tree with one to three mistakes, as a file without `extends`."""
    data = copy.deepcopy(load_tree(source).data)
    changes = [draw.choice(_TREE_CHANGES)(data, draw) for _ in range(draw.choice((1, 1, 2, 3)))]
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=draw.random() < 0.5, width=100)
    return text.encode("utf-8", errors="surrogatepass"), "; ".join(changes)


@dataclass(frozen=True)
class _Place:
    """Where something stands: in `above`, under `key`."""

    above: Any
    key: Any
    path: str

    @property
    def value(self) -> Any:
        return self.above[self.key]

    def put(self, value: Any) -> str:
        """Replace it; returns what was done."""
        self.above[self.key] = copy.deepcopy(value)
        return f"{self.path} becomes {str(value)[:60]!r}"


def _places(data: Any, path: str = "") -> Iterator[_Place]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        below = f"{path}.{key}" if path else str(key)
        yield _Place(data, key, below)
        yield from _places(value, below)


def _pick(data: Any, draw: random.Random, wanted: Callable[[_Place], bool] = lambda place: True) -> _Place | None:
    found = [place for place in _places(data) if wanted(place)]
    return draw.choice(found) if found else None


def _mutation(wanted: Callable[[_Place], bool], change: Callable[[_Place, random.Random], str]) -> Any:
    """A change of one of the places that are `wanted`; of nothing where there are none."""

    def mutate(data: dict[str, Any], draw: random.Random) -> str:
        place = _pick(data, draw, wanted)
        return "nothing" if place is None else change(place, draw)

    return mutate


def _is_keyed(place: _Place) -> bool:
    return isinstance(place.above, dict)


def _is_number(place: _Place) -> bool:
    return isinstance(place.value, (int, float)) and not isinstance(place.value, bool)


def _is_name(place: _Place) -> bool:
    return isinstance(place.value, str) and (place.key == "type" or "-" in place.value)


def _is_path_of_optimizer(place: _Place) -> bool:
    return (
        _is_keyed(place) and ".parameters." in place.path and str(place.key) in place.path.rpartition(".parameters.")[2]
    )


def misspelt(word: str, draw: random.Random) -> str:
    """`word` with a letter lost, doubled, changed or exchanged with its neighbour."""
    if len(word) < 2:
        return word + "x"
    at = draw.randrange(len(word) - 1)
    return draw.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + draw.choice("aeqz_ ") + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word.upper(),
        )
    )


def _rename(place: _Place, key: Any) -> str:
    items = [(key if name == place.key else name, value) for name, value in place.above.items()]
    place.above.clear()
    place.above.update(items)
    return f"{place.path} is called {str(key)[:40]!r}"


def _remove(place: _Place, draw: random.Random) -> str:
    del place.above[place.key]
    return f"{place.path} is missing"


def _add(place: _Place, draw: random.Random) -> str:
    key = draw.choice(("colour", "lr", 3, "weight", "type", "stages", "extends", *TEXTS[:3]))
    place.above[key] = draw.choice((*WRONG_VALUES, *SCHEDULES))
    return f"{key!r} is added beside {place.path}"


def _nest(place: _Place, draw: random.Random) -> str:
    """Indented by one level too many or too few."""
    value = place.value
    if isinstance(value, dict) and value and isinstance(place.above, dict) and draw.random() < 0.5:
        del place.above[place.key]
        place.above.update(value)
        return f"{place.path} is spread into what is around it"
    return place.put(draw.choice(({str(place.key): value}, [value], {"value": value})))


def _exchange(data: dict[str, Any], draw: random.Random) -> str:
    one, other = _pick(data, draw), _pick(data, draw)
    if one is None or other is None:
        return "nothing"
    return f"{one.put(other.value)}, as {other.path} is"


_TREE_CHANGES: Sequence[Callable[[dict[str, Any], random.Random], str]] = (
    _mutation(lambda place: True, lambda place, draw: place.put(draw.choice(WRONG_VALUES))),
    _mutation(_is_name, lambda place, draw: place.put(misspelt(place.value, draw))),
    _mutation(_is_keyed, lambda place, draw: _rename(place, misspelt(str(place.key), draw))),
    _mutation(_is_keyed, lambda place, draw: _rename(place, draw.choice((1, *TEXTS[:3])))),
    _mutation(_is_keyed, _remove),
    _mutation(_is_keyed, _add),
    _mutation(_is_number, lambda place, draw: place.put(draw.choice((*NUMBERS, -place.value)))),
    _mutation(_is_number, lambda place, draw: place.put(draw.choice(NUMBERS))),
    _mutation(_is_number, lambda place, draw: place.put(draw.choice(SCHEDULES))),
    _mutation(_is_path_of_optimizer, lambda place, draw: _rename(place, draw.choice(PATHS))),
    _mutation(lambda place: isinstance(place.value, str), lambda place, draw: place.put(draw.choice(TEXTS))),
    _mutation(lambda place: True, _nest),
    _exchange,
)


def _of_text(source: Path, draw: random.Random) -> tuple[bytes, str]:
    """The file's own text with one mistake in its spelling as YAML."""
    text = source.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    at = draw.randrange(len(lines))
    line = lines[at]
    changes: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("is given twice", lambda: _lines(lines, at, line + line)),
        ("is indented by one more", lambda: _lines(lines, at, " " + line)),
        ("is indented by a tab", lambda: _lines(lines, at, "\t" + line)),
        ("has lost its colon", lambda: _lines(lines, at, line.replace(":", "", 1))),
        ("has a quote too many", lambda: _lines(lines, at, line.replace(" ", " '", 1))),
        ("has a bracket too many", lambda: _lines(lines, at, line.rstrip("\n") + " [{\n")),
        ("is where the file ends", lambda: "".join([*lines[:at], line[: len(line) // 2]]).encode()),
        ("runs code", lambda: _lines(lines, at, line + "name: !!python/object/apply:os.system ['exit 1']\n")),
        ("has an unknown tag", lambda: _lines(lines, at, line.replace(": ", ": !secret ", 1))),
        ("contains itself", lambda: _lines(lines, 0, "backends: &a {x: *a}\n" + lines[0])),
        ("names an anchor that is not there", lambda: _lines(lines, at, line.replace(": ", ": *gone ", 1))),
        ("grows with every anchor", lambda: _laughs() + text.encode()),
        ("is nested without end", lambda: b"freeze: " + b"[" * 3000 + b"]" * 3000 + b"\n" + text.encode()),
        ("begins another document", lambda: _lines(lines, at, "---\n" + line)),
        ("is not UTF-8", lambda: _lines(lines, at, line).replace(b"e", b"\xe9", 1)),
        ("has a control character", lambda: _lines(lines, at, line.rstrip("\n") + "\x07\n")),
        ("has a key that is a list", lambda: _lines(lines, at, "? [a, b]\n: 1\n" + line)),
        ("merges itself", lambda: _lines(lines, 0, "<<: {name: merged}\n" + lines[0])),
        ("has Windows line ends and a byte order mark", lambda: text.replace("\n", "\r\n").encode("utf-8-sig")),
        ("is UTF-16", lambda: text.encode("utf-16")),
        ("extends itself", lambda: f"extends: {source.name}\n".encode() + text.encode()),
        ("extends a folder", lambda: b"extends: .\n" + text.encode()),
        ("extends nothing that there is", lambda: b"extends: [no/such.yaml, 3]\n" + text.encode()),
        ("is all there is", lambda: line.encode()),
        ("is gone, with all others", lambda: b""),
    )
    change, make = draw.choice(changes)
    return make(), f"line {at + 1} {change}"


def _lines(lines: Sequence[str], at: int, line: str) -> bytes:
    return "".join([*lines[:at], line, *lines[at + 1 :]]).encode()


def _laughs() -> bytes:
    """Nine anchors, each ten times the one before: a thousand million values."""
    names = "abcdefghi"
    lines = [f"{names[0]}: &{names[0]} [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in itertools.pairwise(names)]
    return "".join(lines).encode()
