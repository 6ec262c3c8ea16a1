"""The colours that captions name, their shades, and the fixed tones of details (wheels, windows, beaks ...)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from framework.toybox.parts import RGB

COLORS: dict[str, RGB] = {
    "red": (0.86, 0.10, 0.10),
    "green": (0.13, 0.62, 0.18),
    "blue": (0.10, 0.27, 0.86),
    "yellow": (0.97, 0.86, 0.10),
    "orange": (0.97, 0.50, 0.06),
    "purple": (0.50, 0.15, 0.68),
    "pink": (0.97, 0.52, 0.72),
    "brown": (0.45, 0.26, 0.12),
    "black": (0.08, 0.08, 0.09),
    "white": (0.94, 0.94, 0.94),
    "gray": (0.50, 0.50, 0.52),
    "cyan": (0.12, 0.80, 0.86),
}
"""Middle of each named colour, sRGB values in [0, 1]."""

TONES: dict[str, RGB] = {
    "dark": (0.10, 0.10, 0.11),
    "iron": (0.28, 0.29, 0.32),
    "steel": (0.66, 0.68, 0.72),
    "white": (0.95, 0.95, 0.95),
    "cream": (0.95, 0.88, 0.74),
    "glass": (0.60, 0.85, 0.96),
    "lamp": (1.00, 0.93, 0.45),
    "signal": (0.88, 0.12, 0.10),
    "carrot": (0.98, 0.48, 0.05),
    "wood": (0.46, 0.29, 0.14),
    "clay": (0.76, 0.38, 0.22),
    "leaf": (0.14, 0.52, 0.17),
    "roof": (0.36, 0.20, 0.16),
    "slate": (0.24, 0.28, 0.42),
    "blossom": (0.97, 0.45, 0.66),
}
"""Colours of details, which no caption names."""

NUM_SHADES = 4
"""Nuisances of a look: brightness, two tints of the main colour, brightness of the details."""


def between(low: float, high: float, fraction: float) -> float:
    """The value at `fraction` in [0, 1] of the way from `low` to `high`."""
    return low + (high - low) * fraction


def shade(color: RGB, nuisance: Sequence[float]) -> RGB:
    """A shade of `color` that still goes by its name.

    Args:
        color: sRGB values in [0, 1].
        nuisance: Brightness (12 % down to up) and two tints (up to 0.04), each in [0, 1]; 0.5 leaves `color` alone.
    """
    gain = between(0.88, 1.12, nuisance[0])
    warm, green = between(-0.04, 0.04, nuisance[1]), between(-0.03, 0.03, nuisance[2])
    r, g, b = color
    return (_clip(r * gain + warm), _clip(g * gain + green), _clip(b * gain - warm))


@dataclass(frozen=True)
class Look:
    """The colours of one object: a shade of the colour that the caption names, and its details."""

    main: RGB
    detail_gain: float

    @classmethod
    def of(cls, color: str, nuisance: Sequence[float]) -> Look:
        """The look of a named colour for `NUM_SHADES` nuisances in [0, 1]."""
        return cls(shade(COLORS[color], nuisance[:3]), between(0.93, 1.05, nuisance[3]))

    def tone(self, name: str) -> RGB:
        """The colour of a detail."""
        r, g, b = TONES[name]
        return (_clip(r * self.detail_gain), _clip(g * self.detail_gain), _clip(b * self.detail_gain))

    def mixed(self, tone: str, share: float) -> RGB:
        """The main colour with a `share` of a detail's colour."""
        r, g, b = (between(x, y, share) for x, y in zip(self.main, TONES[tone], strict=True))
        return (_clip(r), _clip(g), _clip(b))


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
