"""Embeddings of prompts on disk, so that text encoders, of many gigabytes in some models, need not be read again.

Each prompt of each model is one safetensors file in the user's cache directory, `DISTILL3D_CACHE_DIR` or else where the
platform keeps such things (`~/.cache/distill3d` on Linux). Its name is a hash of all that the embedding depends on. Whatever
stands in the directory may be deleted at any time; a file that cannot be read is written anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from framework.core.files import replacing
from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.families.folder import ModelFolder

log = logging.getLogger(__name__)

DIRECTORY_VARIABLE = "DISTILL3D_CACHE_DIR"
FORMAT = "1"  # another one makes all files of before unknown
SAMPLED_BYTES = 65536


class EmbeddingCache:
    """Embeddings that one model has made.

    Args:
        kind: The record that they are.
        key: All that they depend on besides the prompt.
        directory: Where they lie; by default the user's cache directory.
    """

    def __init__(self, kind: type[TextEmbedding], key: Mapping[str, str], *, directory: Path | None = None) -> None:
        self._kind = kind
        self._key = {**key, "format": FORMAT, "record": kind.__name__}
        self._directory = directory or cache_directory() / "embeddings"

    def encode(
        self, prompts: Sequence[str], encode: Callable[[Sequence[str]], TextEmbedding], *, device: torch.device
    ) -> TextEmbedding:
        """Embeddings of the prompts, in their order.

        Args:
            encode: Makes those that are not there; it is called once for all of them, or not at all.
            device: Where they are to be.
        """
        found = {prompt: self._read(prompt) for prompt in prompts}
        missing = [prompt for prompt, embedding in found.items() if embedding is None]
        if missing:
            fresh = encode(missing).to("cpu")
            for index, prompt in enumerate(missing):
                found[prompt] = fresh[index]
            self._write({prompt: fresh[index] for index, prompt in enumerate(missing)})
        embeddings = [embedding for prompt in prompts if (embedding := found[prompt]) is not None]
        return self._kind.concatenate(embeddings).to(device)

    def path(self, prompt: str) -> Path:
        """The file of a prompt."""
        return self._directory / f"{hashlib.sha256(self._identity(prompt).encode()).hexdigest()}.safetensors"

    def _identity(self, prompt: str) -> str:
        return json.dumps({**self._key, "prompt": prompt}, sort_keys=True)

    def _read(self, prompt: str) -> TextEmbedding | None:
        path = self.path(prompt)
        try:
            with safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("identity") != self._identity(prompt):
                    return None
                return self._kind(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            log.warning("The embedding in '%s' cannot be read and is made again: %s", path, error)
            return None

    def _write(self, embeddings: Mapping[str, TextEmbedding]) -> None:
        try:
            for prompt, embedding in embeddings.items():
                tensors = {
                    name: value.contiguous() for name, value in vars(embedding).items() if isinstance(value, Tensor)
                }
                with replacing(self.path(prompt)) as temporary:
                    save_file(tensors, temporary, metadata={"identity": self._identity(prompt)})
        except OSError as error:
            log.warning("Embeddings are not kept for later runs, '%s' cannot be written: %s", self._directory, error)


def cache_directory() -> Path:
    """Where files lie that can be made again."""
    stated = os.environ.get(DIRECTORY_VARIABLE)
    return Path(stated).expanduser() if stated else platformdirs.user_cache_path("distill3d", appauthor=False)


def text_key(folder: ModelFolder, *, dtype: torch.dtype) -> dict[str, str]:
    """What the embeddings by a model folder's text encoders depend on besides the prompt.

    A commit of the hub names its files for good. Of a folder of the user's, configs and tokenizers are compared whole; of
    weights, which can be of many gigabytes, the size, the time of the last change and the end.

    Args:
        dtype: The precision of the text encoders.
    """
    source = {"repository": folder.repository, "commit": folder.path.name}
    if folder.repository is None or folder.path.parent.name != "snapshots":
        source = {"folder": str(folder.path.resolve()), "files": _digest(folder)}
    versions = {"transformers": version("transformers")}
    family = str(folder.index.get("_class_name"))
    return {**source, **versions, "family": family, "variant": folder.variant or "", "dtype": str(dtype)}


def _digest(folder: ModelFolder) -> str:
    total = hashlib.sha256()
    files = [*folder.path.glob("*"), *folder.path.glob("*/*")]
    small = [path for path in files if path.suffix in (".json", ".txt", ".model")]
    large = [file for part in folder.index if part.startswith("text_encoder") for file in folder.weights(part)]
    for path in sorted([*small, *large]):
        total.update(str(path.relative_to(folder.path)).encode() + b"\0")
        total.update(_weights_mark(path) if path in large else hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _weights_mark(path: Path) -> bytes:
    status = path.stat()
    with path.open("rb") as file:
        file.seek(max(0, status.st_size - SAMPLED_BYTES))
        end = file.read()
    return hashlib.sha256(f"{status.st_size} {status.st_mtime_ns} ".encode() + end).digest()
