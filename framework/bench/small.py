"""Settings that make a run of any config take seconds: sizes alone, so that what it is made of stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from framework.core.config import dump
from framework.core.stages import load_stages

_SIZES: dict[tuple[str, ...], int] = {
    ("prior", "image_size"): 16,
    ("prior", "views"): 16,
    ("system", "scene", "geometry", "resolution"): 16,
    ("system", "scene", "geometry", "encoding", "num_levels"): 4,
    ("system", "scene", "occupancy", "resolution"): 8,
    ("system", "renderer", "samples_per_ray"): 24,
    ("system", "streams", "*", "height"): 16,
    ("system", "streams", "*", "width"): 16,
    ("system", "validation", "size"): 16,
    ("system", "validation", "views"): 2,
}


def small_settings(path: Path, *, max_steps: int) -> list[str]:
    """Settings for the command line that make every stage of a config `max_steps` long and its images small."""
    settings = []
    for name, run in load_stages(path).items():
        above = f"stages.{name}." if name else ""
        sizes = [item for sized, size in _SIZES.items() for item in _found(dump(run), sized, size)]
        settings += [f"{above}{item}" for item in (f"trainer.max_steps={max_steps}", *sizes)]
    return settings


def _found(tree: Mapping[str, Any], path: tuple[str, ...], size: int, above: str = "") -> Iterator[str]:
    """`path=size` for each place in a dumped config that `path` means, where `*` stands for any key."""
    first, *rest = path
    for key in tree if first == "*" else [first]:
        if not rest and key in tree:
            yield f"{above}{key}={size}"
        elif isinstance(tree.get(key), Mapping):
            yield from _found(tree[key], tuple(rest), size, f"{above}{key}.")
