"""Checkpoints: tensors and plain types only, written all or nothing, read without unpickling code."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from framework.core.errors import CheckpointError
from framework.core.files import replacing
from framework.core.schedule import SHAPES

FORMAT = 1
_KEYS = {"config", "step", "state"}


def save_checkpoint(path: Path, *, config: dict[str, Any], step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint of `step` training steps; `state` holds tensors and plain types."""
    with replacing(path) as temporary:
        torch.save({"format": FORMAT, "config": config, "step": step, "state": state}, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote: the keys `config`, `step` and `state`, tensors on the CPU.

    Raises:
        CheckpointError: If the file is missing, cut short, or no checkpoint of this project.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    try:
        with warnings.catch_warnings(action="ignore"):  # Torch remarks on files that it is about to refuse.
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise _damaged(
            path, "it holds something else than tensors and plain values, which is never unpickled"
        ) from None
    except Exception as error:  # The reader stumbles over a cut or garbled file in a dozen ways.
        reason = (str(error).splitlines() or [""])[0].partition(". ")[0] or type(error).__name__
        raise _damaged(path, reason) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.keys() >= _KEYS:
        raise CheckpointError(f"{path}: is not a checkpoint of this project (format {FORMAT}).")
    return content


def _damaged(path: Path, reason: str) -> CheckpointError:
    size = path.stat().st_size
    return CheckpointError(
        f"{path}: is damaged or no checkpoint ({size} bytes; {reason}). Resume from an older one beside it."
    )


def check_same_components(saved: Any, asked: Any, path: Path, where: str = "") -> None:
    """Raise unless every component `type` of the asked config equals the checkpoint's; schedules may differ.

    Raises:
        CheckpointError: Naming the first component that differs.
    """
    if not isinstance(saved, dict) or not isinstance(asked, dict):
        return
    kinds = [saved.get("type"), asked.get("type")]
    if kinds[0] != kinds[1] and not all(kind in SHAPES for kind in kinds):
        raise CheckpointError(
            f"{path}: holds {where or 'system'} '{kinds[0]}', but this config asks for '{kinds[1]}'. "
            "Resume with the config of the run, or start a new one."
        )
    for key in asked:
        if key in saved:
            check_same_components(saved[key], asked[key], path, f"{where}.{key}" if where else key)
