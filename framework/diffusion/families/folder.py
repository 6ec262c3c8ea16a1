"""Model folders in the layout of diffusers: `model_index.json` and one subfolder for each component.

A folder on disk is read without touching the network; a hub id is downloaded first, needed files only, and read the same
way. Weights come from safetensors alone: a pickle can run any code when it is opened.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from framework.core.errors import UserError

INDEX = "model_index.json"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")
ALTERNATIVES = (
    "Name a model folder on this machine, a hub id that is public and has safetensors weights, "
    "or use 'prior: toybox' or 'prior: oracle', which need no download."
)


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model in it.

    Attributes:
        path: Where it lies.
        name: What the user called it, for messages.
        index: Its `model_index.json`.
        variant: Which weight files are meant, such as `fp16` for `*.fp16.safetensors`; None for those without a name.
    """

    path: Path
    name: str
    index: Mapping[str, Any] = field(repr=False)
    variant: str | None = None

    @classmethod
    def open(cls, model: str, *, revision: str | None = None, variant: str | None = None) -> ModelFolder:
        """The folder at the path or of the hub id `model`.

        Raises:
            UserError: If there is none, it cannot be downloaded, or it holds no readable index.
        """
        local = Path(model).expanduser()
        if local.exists():
            path = local
        elif _looks_like_path(model):
            raise UserError(f"There is no model folder at '{model}'. {ALTERNATIVES}")
        else:
            path = _download(model, revision, variant)
        return cls(path, model, _read_json(path / INDEX, model), variant)

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

    def read(self, component: str, file: str = "config.json") -> dict[str, Any]:
        """A JSON file of a component."""
        return _read_json(self.path / component / file, self.name)

    def load(self, component: str, kind: Any, *, dtype: torch.dtype, device: torch.device) -> Any:
        """The component as a frozen model of the class `kind` (of diffusers or transformers).

        Raises:
            UserError: If files are missing, pickled or damaged, or weights are missing in them.
        """
        self.read(component)
        self._check_weights(component)
        quiet_bars()
        try:
            model, info = kind.from_pretrained(
                str(self.path),
                subfolder=component,
                variant=self.variant,
                use_safetensors=True,
                dtype=dtype,
                local_files_only=True,
                output_loading_info=True,
            )
        except Exception as error:  # Whatever the loader stumbles over, the files do not hold this model.
            raise UserError(f"Model '{self.name}': its {component} could not be loaded: {error}") from error
        if info["missing_keys"]:
            missing = sorted(info["missing_keys"])
            raise UserError(
                f"Model '{self.name}': the weights of its {component} are incomplete: {len(missing)} tensors are "
                f"missing, such as '{missing[0]}'."
            )
        return model.to(device).requires_grad_(False).eval()

    def _check_weights(self, component: str) -> None:
        folder = self.path / component
        weights = sorted(path.name for path in folder.glob("*.safetensors"))
        where = f"Model '{self.name}': {component}/"
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


def _download(model: str, revision: str | None, variant: str | None) -> Path:
    """The local snapshot of a hub model: configs, tokenizers and the weights of one variant."""
    import huggingface_hub

    weights = f"*.{variant}*.safetensors" if variant else "*.safetensors"
    others = None if variant else ["*.fp16*.safetensors", "*.bf16*.safetensors", "*.non_ema*.safetensors"]
    try:
        path = huggingface_hub.snapshot_download(
            model,
            revision=revision,
            allow_patterns=[INDEX, "*/*.json", "*/*.txt", "*/spiece.model", f"*/{weights}"],
            ignore_patterns=[*(others or []), "safety_checker/*", "image_encoder/*", "feature_extractor/*"],
        )
    except Exception as error:  # Offline, unknown, private or gated: to the user the model cannot be had.
        summary = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"Model '{model}' could not be downloaded from the hub: {summary} {ALTERNATIVES}") from error
    return Path(path)
