"""Pictures that travel inside a page, as data: URIs, within a number of bytes."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image

from framework.export.png import encode_png
from framework.export.turntable import framed_views, viewer
from framework.structures.mesh import Mesh

T = TypeVar("T")
SIDES = {"front": (0.0, 15.0), "side": (90.0, 15.0), "back": (180.0, 15.0), "top": (0.0, 90.0)}
"""Azimuth and elevation of the views of a mesh, degrees."""

_MAX_FRAMES = 120  # More than a slider can tell apart.
_SMALLER_SIDE, _SMALLER_QUALITY = 1024, 85
_UNREADABLE = (OSError, SyntaxError, ValueError)  # What Pillow raises for damaged files.
_MARKUP = 300  # Bytes of the page around one picture, at most.


@dataclass(frozen=True)
class Picture:
    """An image inside a page.

    Attributes:
        label: What it shows.
        source: The image as a data: URI.
        width, height: Pixels.
    """

    label: str
    source: str
    width: int
    height: int

    @property
    def cost(self) -> int:
        """Bytes that it adds to a page."""
        return len(self.source) + _MARKUP


@dataclass(frozen=True)
class MeshView:
    """A mesh from one side: its colours and its normals."""

    color: Picture
    normal: Picture


@dataclass(frozen=True)
class Film:
    """Pictures of one kind in the order of the training steps."""

    name: str
    frames: tuple[Picture, ...]


@dataclass(frozen=True)
class Films:
    """What validation drew.

    Attributes:
        films: One for each name of pictures.
        notes: A sentence for each thing that was changed or left out.
    """

    films: tuple[Film, ...]
    notes: tuple[str, ...]


def data_uri(content: bytes, kind: str) -> str:
    """The URI that holds `content` of the media type `kind` itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def mesh_views(mesh: Mesh, *, sides: Sequence[str] = tuple(SIDES), size: int = 320) -> list[MeshView]:
    """Renders of `mesh` from some of `SIDES`: shaded as in the turntable, and normals with +x red, both on white."""
    azimuth, elevation = torch.tensor([SIDES[side] for side in sides]).deg2rad().unbind(dim=-1)
    render = viewer(mesh).render(framed_views(mesh, azimuth, elevation, size=size))
    assert render.normal is not None
    normal = 0.5 * (render.normal + render.opacity) + (1.0 - render.opacity)
    return [
        MeshView(
            _rendered(f"{side}, colour", render.rgb[i], size=size),
            _rendered(f"{side}, normals", normal[i], size=size),
        )
        for i, side in enumerate(sides)
    ]


def films(folder: Path, *, budget: int) -> Films:
    """The pictures `NAME-STEP.png` in `folder` by name, at most `budget` bytes of page.

    Where they are too large they are scaled and encoded anew as JPEG; where that is not enough, some are left out
    evenly, though never the first and the last.
    """
    found = _by_name(folder)
    total = sum(len(paths) for paths in found.values())
    found = {name: evenly(paths, _MAX_FRAMES) for name, paths in found.items()}
    notes: list[str] = []
    shown = _load(found, notes, is_smaller=False)
    if _cost(shown) > budget:
        shown = _load(found, notes, is_smaller=True)
        notes.append(
            f"Pictures are scaled to at most {_SMALLER_SIDE} pixels and encoded as JPEG to keep this page small."
        )
    while _cost(shown) > budget:
        share, longest = budget / _cost(shown), max(len(film.frames) for film in shown)
        count = min(longest - 1, math.floor(longest * share))
        shown = [Film(film.name, tuple(evenly(film.frames, max(count, 1)))) for film in shown] if longest > 1 else []
    number = sum(len(film.frames) for film in shown)
    if number < total:
        notes.append(f"{number} of {total} pictures are shown.")
    return Films(tuple(shown), tuple(notes))


def last_picture(folder: Path, *, width: int) -> Picture | None:
    """The picture of the last step, scaled to `width` pixels; None without one that can be read."""
    latest = [paths[-1] for paths in _by_name(folder).values()]
    if not latest:
        return None
    path = max(latest, key=_step)
    try:
        with Image.open(path) as image:
            size = width, max(1, round(image.height * width / image.width))
            return _encoded(f"step {_step(path):,}", image.convert("RGB").resize(size, Image.Resampling.BOX))
    except _UNREADABLE:
        return None


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of `items`, evenly spaced, the last one always among them."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[-1]]
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Paths of pictures by their names without the step, in the order of steps."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.png"), key=lambda path: (_step(path), path.name)):
        if match := re.fullmatch(r"(.+)-\d+", path.stem):
            found.setdefault(match[1], []).append(path)
    return dict(sorted(found.items()))


def _step(path: Path) -> int:
    digits = re.search(r"\d+$", path.stem)
    return int(digits[0]) if digits else 0


def _load(found: dict[str, list[Path]], notes: list[str], *, is_smaller: bool) -> list[Film]:
    """The films of these files; pictures that cannot be read are noted and left out."""
    result = []
    for name, paths in found.items():
        frames = []
        for path in paths:
            try:
                frames.append(_smaller(path) if is_smaller else _whole(path))
            except _UNREADABLE:
                sentence = f"{path.name} cannot be read and is left out."
                notes += [] if sentence in notes else [sentence]
        result += [Film(name, tuple(frames))] if frames else []
    return result


def whole_picture(path: Path, *, label: str) -> Picture:
    """The PNG file at `path` as it is."""
    with Image.open(path) as image:
        width, height = image.size
    return Picture(label, data_uri(path.read_bytes(), "image/png"), width, height)


def _whole(path: Path) -> Picture:
    return whole_picture(path, label=f"step {_step(path):,}")


def _smaller(path: Path) -> Picture:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_SMALLER_SIDE, _SMALLER_SIDE))
    return _encoded(f"step {_step(path):,}", small)


def _encoded(label: str, image: Image.Image) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_SMALLER_QUALITY)
    return Picture(label, data_uri(buffer.getvalue(), "image/jpeg"), image.width, image.height)


def _rendered(label: str, image: torch.Tensor, *, size: int) -> Picture:
    return Picture(label, data_uri(encode_png(image), "image/png"), size, size)


def _cost(films: Sequence[Film]) -> int:
    return sum(frame.cost for film in films for frame in film.frames)
