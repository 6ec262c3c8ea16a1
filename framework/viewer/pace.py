"""How large a picture may be, and when it may be drawn, so that training keeps its speed.

Drawing takes turns with training and may take a share of the time of both. What training takes earns time for pictures, what
drawing takes spends it. A watcher who moves sees small pictures, often; one who rests sees a full one soon, on credit if
need be, which later pictures wait for. In a pause all time is free.
"""

from __future__ import annotations

from dataclasses import dataclass

SIZES = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
"""Shorter sides of the pictures there are, pixels."""
FULL = 256
"""The least size that a watcher sees who rests."""

_SHARE = 0.1  # of all time, for all pictures together
_MOVING_SHARE = 0.08  # of all time, while somebody moves
_MOVING_SECONDS = 0.02  # the longest that drawing one small picture may take
_SETTLED_SECONDS = 0.25  # the longest that drawing one larger than FULL may take
_FREE_MOVING_SECONDS, _FREE_SETTLED_SECONDS = 0.1, 0.7  # the same in a pause
_AT_REST = 0.25  # seconds without movement
_FULL_WITHIN = 2.5  # seconds without movement after which a full picture is drawn, on credit if need be
_MOST_SAVED = 3.0  # seconds


@dataclass(frozen=True)
class Sight:
    """What a watcher sees at a moment.

    Attributes:
        still_for: Seconds since the watcher moved.
        size: Of the picture that shows the present view; 0 if there is none.
        is_current: Whether that picture shows the present training step.
    """

    still_for: float
    size: int
    is_current: bool


class Pace:
    """Earns time by training and spends it on pictures.

    Attributes:
        is_paused: Whether training waits, so that drawing takes nothing from it.
    """

    def __init__(self) -> None:
        self.is_paused = False
        self._saved = 0.0
        self._step = 0.0
        self._cost: dict[tuple[str, int], float] = {}
        self._next_small = 0.0

    def rest(self) -> None:
        """Nobody watches: what was earned or owed is forgotten."""
        self._saved = 0.0

    def trained(self, seconds: float) -> None:
        """A training step has taken so long."""
        self._saved = min(_MOST_SAVED, self._saved + seconds * _SHARE / (1.0 - _SHARE))
        self._step = seconds

    def spent(self, seconds: float) -> None:
        """Something was done for a watcher that took so long."""
        if not self.is_paused:
            self._saved -= seconds

    def drew(self, kind: str, size: int, seconds: float, *, now: float) -> None:
        """A picture of this kind and size took so long to draw."""
        before = self._cost.get((kind, size), seconds)
        self._cost[kind, size] = 0.5 * (before + seconds)
        self._next_small = now + seconds * (1.0 - _MOVING_SHARE) / _MOVING_SHARE
        self.spent(seconds)

    def can_afford(self, kind: str, size: int) -> bool:
        """Whether enough time has been earned for such a picture."""
        return self.is_paused or self._saved >= min(self.expected(kind, size), _MOST_SAVED)

    def expected(self, kind: str, size: int) -> float:
        """Seconds that a picture of this kind and size will take, by the nearest size that was drawn."""
        known = [other for name, other in self._cost if name == kind]
        if not known:
            return 0.0 if size == SIZES[0] else float("inf")
        nearest = min(known, key=lambda other: abs(other - size))
        return self._cost[kind, nearest] * max(1.0, (size / nearest) ** 2)

    def choose(self, kind: str, sight: Sight, *, now: float) -> int | None:
        """The size of the picture to draw now, if any."""
        if sight.still_for >= _AT_REST and self._is_full_due(kind, sight):
            return self._settled_size(kind)
        if sight.size == 0 and (self.is_paused or now >= self._next_small):
            return self._largest(kind, _FREE_MOVING_SECONDS if self.is_paused else _MOVING_SECONDS)
        return None

    def _is_full_due(self, kind: str, sight: Sight) -> bool:
        size = self._settled_size(kind)
        if sight.size < FULL:
            wait = _FULL_WITHIN - self._step - min(_FULL_WITHIN, self.expected(kind, FULL))
            return self.can_afford(kind, size) or sight.still_for >= wait
        return (sight.size < size or not sight.is_current) and self.can_afford(kind, size)

    def _settled_size(self, kind: str) -> int:
        return max(FULL, self._largest(kind, _FREE_SETTLED_SECONDS if self.is_paused else _SETTLED_SECONDS))

    def _largest(self, kind: str, seconds: float) -> int:
        """The largest picture that takes no longer than that, but no less than the smallest that there is."""
        return max((size for size in SIZES if self.expected(kind, size) <= seconds), default=SIZES[0])
