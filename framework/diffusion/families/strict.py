"""Whether the weights in a model folder are those of its classes: none missing, none left over.

Loading for use overlooks tensors that no part of a model asks for. A folder that holds some was not written from the model
that its configs describe, and what is computed with it may be something else.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder

LIBRARIES = ("diffusers", "transformers")
WITH_WEIGHTS = re.compile(r"unet|transformer|vae|text_encoder(_\d+)?")
"""The components whose weights are read here; safety checkers and the like are not."""


@dataclass(frozen=True)
class LoadedComponent:
    """What came of loading a component.

    Attributes:
        component: Its name.
        kind: Its class.
        tensors: How many its files hold in the variant that is meant.
        values: How many numbers the model holds, buffers that are stored included.
        missing: Names of tensors that the model has and the files do not.
        unexpected: Names of tensors that the files hold and the model does not. Leftovers that the library itself knows of,
            such as the `position_ids` of old CLIP encoders, do not count.
    """

    component: str
    kind: str
    tensors: int
    values: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def components_with_weights(folder: ModelFolder) -> list[str]:
    """Names of the components of a model folder whose weights are read."""
    return [name for name in folder.index if WITH_WEIGHTS.fullmatch(name) and folder.has(name)]


def load_strictly(folder: ModelFolder, component: str, *, dtype: torch.dtype) -> LoadedComponent:
    """Load a component on the CPU, by the class that the index names, and see what was missing or left over.

    Raises:
        UserError: If its files are missing, pickled or damaged, or its class is none of diffusers or transformers.
    """
    kind = _class_of(folder, component)
    with _quiet():
        model, info = folder.load_with_info(component, kind, dtype=dtype)
    return LoadedComponent(
        component,
        kind.__name__,
        tensors=sum(_count(str(path)) for path in folder.weights(component)),
        values=sum(value.numel() for value in model.state_dict().values()),
        missing=tuple(sorted(info["missing_keys"])),
        unexpected=tuple(sorted(info["unexpected_keys"])),
    )


def _class_of(folder: ModelFolder, component: str) -> Any:
    library, name = folder.index[component]
    kind = getattr(importlib.import_module(library), name, None) if library in LIBRARIES else None
    if kind is None:
        raise UserError(f"Model '{folder.name}': its {component} is a {name} of {library}, which does not exist here.")
    return kind


def _count(path: str) -> int:
    with safe_open(path, framework="pt") as file:
        return len(file.keys())


@contextmanager
def _quiet() -> Iterator[None]:
    """No reports of the libraries themselves, which would say the same again."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
