"""Which implementation of an operation runs: the only place that knows which packages exist.

Every operation has a readable torch implementation and may have faster ones behind the same contract. An implementation
called `warp` of the operation `hash-encoding` is the module `framework.ops.warp.hash_encoding`; it is imported at first
use, so that this module needs neither torch nor Warp. A caller asks for an implementation by name or for `auto`, which
takes the first one in the table that can run.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

AUTO = "auto"


class BackendUnavailable(ValueError):
    """An implementation was asked for by name and cannot run here."""


@dataclass(frozen=True)
class Implementation:
    """One way to run an operation.

    Attributes:
        name: Name in the configuration and of the sub-package of `framework.ops`.
        requires: The package that it imports; nothing beside torch if None.
        devices: Device types that this entry of the table is for; all if None.
        install: What to install where `requires` is missing.
    """

    name: str
    requires: str | None = None
    devices: frozenset[str] | None = None
    install: str | None = None


@dataclass(frozen=True)
class Choice:
    """One row of the start-up table: what runs an operation, and why nothing better does."""

    operation: str
    chosen: str
    passed_over: tuple[str, ...]


def _warp(*devices: str) -> Implementation:
    return Implementation("warp", requires="warp", devices=frozenset(devices), install="warp-lang")


TORCH = Implementation("torch")

# In order of preference, by measurement on a CPU. An implementation that is faster on one kind of device only can have
# an entry for each. Perceptrons: there torch's matrix products are ten times as fast as a kernel for each point.
IMPLEMENTATIONS: dict[str, list[Implementation]] = {
    "hash-encoding": [_warp("cpu", "cuda"), TORCH],
    "mlp": [TORCH, _warp("cpu", "cuda")],
    "ray-sampling": [_warp("cpu", "cuda"), TORCH],
    "compositing": [_warp("cpu", "cuda"), TORCH],
    "importance-sampling": [TORCH],
    "mesh-raycasting": [_warp("cpu", "cuda"), TORCH],
    "rasterization": [_warp("cpu", "cuda"), TORCH],
}


def select(operation: str, device: object, requested: str = AUTO) -> Implementation:
    """The implementation of `operation` that runs on `device`.

    Args:
        operation: A key of `IMPLEMENTATIONS`.
        device: A `torch.device` or its name, such as `cuda:0`.
        requested: The name of an implementation, or `auto` for the first of the table that can run.

    Raises:
        ValueError: If the operation has no implementation called `requested`.
        BackendUnavailable: If that implementation cannot run on `device`; says what to install.
    """
    return _select(operation, _device_type(device), requested)


def load(operation: str, device: object, requested: str = AUTO) -> Any:
    """The module that implements `operation` on `device`; arguments and errors as those of `select`."""
    return _load(operation, _device_type(device), requested)


def choices(device: object, requested: Mapping[str, str]) -> list[Choice]:
    """What each operation will run with, and why the implementations before it in the table will not.

    Args:
        device: A `torch.device` or its name.
        requested: Operation to implementation, as configured; operations that it leaves out are `auto`.

    Raises:
        ValueError: If `requested` names an unknown operation or implementation.
        BackendUnavailable: If a requested implementation cannot run on `device`.
    """
    for operation in requested:
        _candidates(operation)
    rows = []
    for operation, implementations in IMPLEMENTATIONS.items():
        wish = requested.get(operation, AUTO)
        chosen = select(operation, device, wish)
        better = implementations[: implementations.index(chosen)] if wish == AUTO else ()
        reasons = (f"{candidate.name}: {_obstacle(candidate, _device_type(device))}" for candidate in better)
        rows.append(Choice(operation, chosen.name, tuple(reasons)))
    return rows


@cache
def _load(operation: str, device_type: str, requested: str) -> Any:
    name = _select(operation, device_type, requested).name
    return importlib.import_module(f"framework.ops.{name}.{operation.replace('-', '_')}")


def _select(operation: str, device_type: str, requested: str) -> Implementation:
    candidates = _candidates(operation)
    if requested == AUTO:
        return next(candidate for candidate in candidates if _obstacle(candidate, device_type) is None)
    named = [candidate for candidate in candidates if candidate.name == requested]
    if not named:
        known = [AUTO, *dict.fromkeys(candidate.name for candidate in candidates)]
        raise ValueError(
            f"backends.{operation}: '{requested}' is not one of {', '.join(known)}.{_hint(requested, known)}"
        )
    obstacles = [_obstacle(candidate, device_type) for candidate in named]
    for candidate, obstacle in zip(named, obstacles, strict=True):
        if obstacle is None:
            return candidate
    raise BackendUnavailable(f"backends.{operation}: '{requested}' was asked for, but {obstacles[0]}.")


def _candidates(operation: str) -> list[Implementation]:
    if operation not in IMPLEMENTATIONS:
        known = list(IMPLEMENTATIONS)
        raise ValueError(f"backends: no operation is called '{operation}'.{_hint(operation, known)}")
    return IMPLEMENTATIONS[operation]


def _obstacle(implementation: Implementation, device_type: str) -> str | None:
    """Why `implementation` cannot run on devices of this type, or None if it can."""
    if implementation.devices is not None and device_type not in implementation.devices:
        return f"it does not run on '{device_type}'"
    if implementation.requires is not None and not _is_installed(implementation.requires):
        return f"it is not installed (pip install {implementation.install})"
    if implementation.requires == "warp" and device_type == "cuda" and not _warp_sees_cuda():
        return "its package sees no CUDA device (is the driver too old for it?)"
    return None


@cache
def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


@cache
def _warp_sees_cuda() -> bool:
    return bool(importlib.import_module("framework.ops.warp.launching").sees_cuda())


def _device_type(device: object) -> str:
    return str(device).partition(":")[0]


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
