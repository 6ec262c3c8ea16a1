"""Checkpoints: tensors and plain types only, written all or nothing, read without unpickling code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from framework.core.errors import CheckpointError
from framework.core.files import replacing

FORMAT = 1


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
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: is damaged or no checkpoint ({path.stat().st_size} bytes: {reason}). Resume from an older one beside it."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is not a checkpoint of this project (format {FORMAT}).")
    return content


def check_same_components(saved: Any, asked: Any, path: Path, where: str = "") -> None:
    """Raise unless every component `type` of the asked config equals the checkpoint's.

    Raises:
        CheckpointError: Naming the first component that differs.
    """
    if not isinstance(saved, dict) or not isinstance(asked, dict):
        return
    if saved.get("type") != asked.get("type"):
        raise CheckpointError(
            f"{path}: holds {where or 'system'} '{saved.get('type')}', but this config asks for '{asked.get('type')}'. "
            "Resume with the config of the run, or start a new one."
        )
    for key in saved.keys() & asked.keys():
        check_same_components(saved[key], asked[key], path, f"{where}.{key}" if where else key)
