"""How types are called in `--describe`."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from framework.cli.inspect import type_text
from framework.core.outline import Outline
from framework.core.schedule import Schedule

SECTION = Outline("Inner", "module:Inner", "")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "whole number"),
        (float | None, "number or null"),
        (Schedule, "number or schedule"),
        (Schedule | None, "number or schedule or null"),
        (Literal["a", "b"], "one of a, b"),
        (list[str] | None, "list of text or null"),
        (tuple[float, float], "[number, number]"),
        (tuple[int, ...], "list of whole number"),
        (dict[str, bool], "names, each true or false"),
        (SECTION, "settings"),
        (SECTION | None, "settings or null"),
        (dict[str, SECTION], "names, each settings"),
        (Any, "anything"),
    ],
)
def test_types_are_named_in_words(kind: Any, text: str) -> None:
    assert type_text(kind) == text
