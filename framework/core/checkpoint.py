"""Checkpoints: tensors and plain types only, written all or nothing, read without unpickling code.

The file is a ZIP archive, as torch writes it. Its archive comment, the last bytes of the file, is the SHA-256 digest of all
bytes before it, so that a file which is cut short or changed in any byte is told from a whole one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from framework.core.errors import CheckpointError
from framework.core.files import replacing
from framework.core.schedule import SHAPES

FORMAT = 2
_KINDS = {"config": dict, "step": int, "state": dict}
_DIGEST_LENGTH = 64  # hexadecimal
_CHUNK = 1 << 22
_log = logging.getLogger(__name__)


def save_checkpoint(path: Path, *, config: dict[str, Any], step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint of `step` training steps; `state` holds tensors and plain types.

    Raises:
        OSError: If it cannot be written, as on a full disk; what was there before stays.
    """
    with replacing(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save({"format": FORMAT, "config": config, "step": step, "state": state}, file)
        except RuntimeError as error:
            # torch replaces what the file said by a complaint of its own.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        seal(temporary)


def seal(path: Path) -> None:
    """Write the digest of an archive without a comment into its comment, which is the end of the file."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)  # An archive ends with the length of its comment and the comment.
        file.write(_DIGEST_LENGTH.to_bytes(2, "little"))
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(digest.encode())


def load_newest(paths: Sequence[Path]) -> tuple[dict[str, Any], Path]:
    """The content of the first of `paths` that is whole, and that path; says which ones are not.

    Args:
        paths: Checkpoints, the one wanted most first.

    Raises:
        CheckpointError: If none can be read, or there is none.
    """
    for path, following in zip(paths, [*paths[1:], None], strict=True):
        try:
            return load_checkpoint(path), path
        except CheckpointError as error:
            if following is None:
                raise
            _log.warning("%s Taking %s instead.", error, following.name)
    raise CheckpointError("There is no checkpoint.")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote: the keys `config`, `step` and `state`, tensors on the CPU.

    Raises:
        CheckpointError: If the file is missing, cut short, or no checkpoint of this project.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    _check_seal(path)
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
    if not isinstance(content, dict) or content.get("format") != FORMAT or not _is_whole(content):
        raise CheckpointError(f"{path}: is not a checkpoint of this project (format {FORMAT}).")
    return content


def _is_whole(content: Mapping[str, Any]) -> bool:
    return all(type(content.get(key)) is kind for key, kind in _KINDS.items()) and content["step"] >= 0


def check_parts(content: Mapping[str, Any], path: Path) -> None:
    """Raise unless a checkpoint's content has all that a training goes on from.

    Raises:
        CheckpointError: Naming the first part that is missing.
    """
    needed = [("config", "system"), ("state", "system"), ("state", "optimizer")]
    for part, name in needed:
        if not isinstance(content[part].get(name), dict):
            raise CheckpointError(f"{path}: holds no {part} of the {name}. Resume from another checkpoint.")


def _check_seal(path: Path) -> None:
    """Raise CheckpointError unless the file ends with the digest of all that comes before."""
    length = path.stat().st_size - _DIGEST_LENGTH
    with path.open("rb") as file:
        file.seek(max(0, length))
        end = file.read()
    if length < 0 or end != _digest(path, length).encode():
        raise _damaged(path, "its checksum is missing or does not match")


def _digest(path: Path, length: int) -> str:
    """SHA-256 of the first `length` bytes of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (chunk := file.read(min(_CHUNK, length))):
            digest.update(chunk)
            length -= len(chunk)
    return digest.hexdigest()


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
