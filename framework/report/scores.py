"""Rows of a table from any tree of scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from framework.report.charts import label

_MAX_ROWS = 300


@dataclass(frozen=True)
class Score:
    """A named value.

    Attributes:
        path: Names from the root of the tree to the value.
        value: A plain value.
    """

    path: tuple[str, ...]
    value: Any

    @property
    def name(self) -> str:
        """The path in words."""
        return " / ".join(part.replace("_", " ") for part in self.path)

    @property
    def text(self) -> str:
        """The value in words."""
        if self.value is None:
            return "none"
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return label(float(self.value)) if isinstance(self.value, (int, float)) else str(self.value)

    @property
    def is_number(self) -> bool:
        """Whether the value can be compared with others."""
        return isinstance(self.value, (int, float)) and not isinstance(self.value, bool)


def all_scores(tree: Any) -> list[Score]:
    """The plain values of a tree of mappings and lists, in its order; the first few hundred of them, none of None."""
    return [score for score, _ in zip(_leaves(tree, ()), range(_MAX_ROWS), strict=False) if score.path]


def main_scores(tree: Any, *, count: int = 5) -> list[Score]:
    """The numbers nearest to the root, which a judge will have put there on purpose."""
    numbers = [score for score in all_scores(tree) if score.is_number]
    depth = min((len(score.path) for score in numbers), default=0)
    return [score for score in numbers if len(score.path) == depth][:count]


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[Score]:
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(tree, list) and any(isinstance(item, (Mapping, list)) for item in tree):
        for number, item in enumerate(tree, start=1):
            yield from _leaves(item, (*path, str(number)))
    elif isinstance(tree, list):
        yield Score(path, ", ".join(Score(path, item).text for item in tree))
    else:
        yield Score(path, tree)
