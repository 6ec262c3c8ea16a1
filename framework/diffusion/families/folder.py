"""Model folders in the layout of diffusers: `model_index.json` and one subfolder for each component.

A folder on disk is read without touching the network; a hub id is downloaded first, needed files only, and read the same
way. Weights come from safetensors alone: a pickle can run any code when it is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from framework.core.errors import UserError
from framework.diffusion.families.hub import ALTERNATIVES, component_files, download, pipeline_files
from framework.diffusion.families.names import NAMES

INDEX = "model_index.json"
CONFIG = "config.json"
SHARD = re.compile(r"-\d+-of-(\d+)\.safetensors$")
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model in it.

    Attributes:
        path: Where it lies.
        name: What the user called it, for messages.
        index: Its `model_index.json`; the `config.json` where it holds one component and no pipeline.
        variant: Which weight files are meant, such as `fp16` for `*.fp16.safetensors`; None for those without a name.
        repository: The hub id that it is from; None for a folder of the user's.
    """

    path: Path
    name: str
    index: Mapping[str, Any] = field(repr=False)
    variant: str | None = None
    repository: str | None = None

    @classmethod
    def open(
        cls,
        model: str,
        *,
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool = False,
        is_component: bool = False,
    ) -> ModelFolder:
        """The folder that `model` names: a short name (see `NAMES`), a path, or a hub id.

        Args:
            revision: Branch, tag or commit on the hub.
            local_files_only: Whether to use what was downloaded before, without asking the hub.
            is_component: Whether it is one component by itself, such as an autoencoder, called '' here.

        Raises:
            UserError: If there is none, it cannot be downloaded, or it holds no readable index.
        """
        path, repository = Path(model).expanduser(), None
        if model in NAMES or not path.exists():
            if model not in NAMES and _looks_like_path(model):
                raise UserError(f"There is no model folder at '{model}'. {ALTERNATIVES}")
            files = component_files(variant) if is_component else pipeline_files(variant)
            path, repository = download(model, revision=revision, files=files, local_files_only=local_files_only)
        return cls(path, model, _read_json(path / (CONFIG if is_component else INDEX), model), variant, repository)

    def has(self, component: str) -> bool:
        """Whether the index lists the component with a class."""
        return isinstance(self.index.get(component), list) and self.index[component][1] is not None

    def require(self, component: str, supported: Collection[str]) -> str:
        """The class name of a component.

        Raises:
            UserError: If the model has no such component, or it is of another class.
        """
        if not self.has(component):
            raise UserError(
                f"Model '{self.name}' ({self.index.get('_class_name', 'of unknown class')}) has no component "
                f"'{component}'. Supported are models with a {' or '.join(supported)} as '{component}'."
            )
        name = str(self.index[component][1])
        if name not in supported:
            raise UserError(
                f"Model '{self.name}': its {component} is a {name}, which is not supported. "
                f"Supported: {', '.join(supported)}."
            )
        return name

    def read(self, component: str, file: str = CONFIG) -> dict[str, Any]:
        """A JSON file of a component."""
        return _read_json(self.path / component / file, self.name)

    def load(self, component: str, kind: Any, *, dtype: torch.dtype, device: torch.device) -> Any:
        """The component as a frozen model of the class `kind` (of diffusers or transformers).

        Raises:
            UserError: If files are missing, pickled or damaged, or weights are missing in them.
        """
        model, info = self.load_with_info(component, kind, dtype=dtype)
        if info["missing_keys"]:
            missing, part = sorted(info["missing_keys"]), f"its {component}" if component else "it"
            raise UserError(
                f"Model '{self.name}': the weights of {part} are incomplete: {len(missing)} tensors are "
                f"missing, such as '{missing[0]}'."
            )
        return model.to(device).requires_grad_(False).eval()

    def load_with_info(self, component: str, kind: Any, *, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
        """The component on the CPU as it comes, and what the library says of missing and left-over tensors.

        Raises:
            UserError: If files are missing, pickled or damaged.
        """
        self.check(component)
        quiet_bars()
        try:
            return kind.from_pretrained(
                str(self.path),
                subfolder=component,
                variant=self.variant,
                use_safetensors=True,
                dtype=dtype,
                local_files_only=True,
                output_loading_info=True,
            )
        except Exception as error:  # Whatever the loader stumbles over, the files do not hold this model.
            part = f"its {component}" if component else "it"
            raise UserError(f"Model '{self.name}': {part} could not be loaded: {error}") from error

    def check(self, component: str) -> None:
        """See that the files of a component are there and whole, without reading its weights.

        Raises:
            UserError: If they are not, or the weights are pickled.
        """
        self.read(component)
        self._check_weights(component)
        for path in self.weights(component):
            try:
                with safe_open(path, framework="pt"):  # reads the header and compares it with the length of the file
                    pass
            except (OSError, SafetensorError) as error:
                part = f"its {component}" if component else "it"
                raise UserError(f"Model '{self.name}': {part} could not be loaded: {path.name}: {error}") from error

    def weights(self, component: str) -> list[Path]:
        """The weight files of a component in the variant that is meant."""
        files = sorted((self.path / component).glob("*.safetensors"))
        return [path for path in files if _variant_of(path.name) == (self.variant or "")]

    def _check_weights(self, component: str) -> None:
        folder = self.path / component
        weights = sorted(path.name for path in folder.glob("*.safetensors"))
        where = f"Model '{self.name}':" + (f" {component}/" if component else " it")
        if not weights:
            pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
            if pickles:
                raise UserError(
                    f"{where} holds pickled weights only ({', '.join(pickles)}), which can run code when opened and are "
                    "refused. If you trust them, load the pipeline with diffusers once and write it with "
                    "`save_pretrained(folder, safe_serialization=True)`."
                )
            raise UserError(f"{where} holds no weights (*.safetensors); the folder is incomplete.")
        variants = sorted({_variant_of(name) for name in weights})
        if (self.variant or "") not in variants:
            wanted = f"the variant '{self.variant}'" if self.variant else "weights without a variant"
            known = ", ".join(repr(name) if name else "none" for name in variants)
            raise UserError(f"{where} does not hold {wanted}. Set `variant` to one of: {known}.")
        parts = [match for path in self.weights(component) if (match := SHARD.search(path.name))]
        if parts and len(parts) != int(parts[0][1]):
            raise UserError(f"{where} holds {len(parts)} of {int(parts[0][1])} files of weights; it is incomplete.")


def quiet_bars() -> None:
    """No bars of other libraries between the lines that are printed here."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()


def _looks_like_path(model: str) -> bool:
    return model.startswith((".", "/", "~")) or "\\" in model or model.count("/") != 1


def _variant_of(file: str) -> str:
    """'fp16' of `model.fp16.safetensors` and `model.fp16-00001-of-00002.safetensors`; '' without a variant."""
    middle = file.removesuffix(".safetensors").split(".")[1:]
    return middle[0].split("-")[0] if middle else ""


def _read_json(path: Path, model: str) -> dict[str, Any]:
    where = f"Model '{model}': {'/'.join(path.parts[-2:])}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{where} is missing; the folder is incomplete or not in the layout of diffusers.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{where} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{where} does not hold a mapping.")
    return content
