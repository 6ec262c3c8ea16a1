"""What watchers ask of the training, which grants it between two steps."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Button(enum.Enum):
    """Buttons; the value is what they say."""

    PAUSE = "Pause"
    RESUME = "Resume"
    CHECKPOINT = "Checkpoint now"
    EXPORT = "Export now"


@dataclass(frozen=True)
class SetWeights:
    """Weights of terms to set by hand, by path; None lets a schedule decide again."""

    values: Mapping[str, float | None]


Request = Button | SetWeights
