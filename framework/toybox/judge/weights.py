"""The judge's weights: where those of the package lie, and how they are written and read."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from framework.core.errors import UserError
from framework.core.files import replacing, write_text
from framework.toybox.judge.labels import CHOICES
from framework.toybox.judge.network import Judge

WEIGHTS, CARD = "judge.safetensors", "card.json"


def bundled_folder() -> Path:
    """Where the weights lie that come with the package."""
    return Path(str(resources.files("framework.toybox.judge"))) / "bundled"


def save_judge(judge: Judge, folder: Path, *, card: dict[str, Any]) -> list[Path]:
    """Write the weights, as float16, and their card; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in judge.state_dict().items()}
    metadata = {"widths": json.dumps(judge.widths), "choices": json.dumps(CHOICES)}
    with replacing(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    write_text(folder / CARD, json.dumps(card, indent=2) + "\n")
    return [folder / WEIGHTS, folder / CARD]


@cache
def load_judge(folder: Path | None = None) -> Judge:
    """The judge in a folder, by default the bundled one; on the CPU, in evaluation mode.

    Raises:
        UserError: If there is none, it is damaged, or it was trained to answer other questions.
    """
    path = (folder or bundled_folder()) / WEIGHTS
    if not path.is_file():
        raise UserError(f"There is no judge at '{path}'. Train one with --config configs/toybox/judge.yaml.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        if json.loads(metadata["choices"]) != {name: list(options) for name, options in CHOICES.items()}:
            raise UserError(f"The judge at '{path}' was trained on another vocabulary. Train one anew.")
        judge = Judge(tuple(json.loads(metadata["widths"])))
        judge.load_state_dict(tensors)
    except UserError:
        raise
    except Exception as error:  # Whatever stumbles, the file does not hold a judge.
        raise UserError(f"The judge at '{path}' cannot be read: {error}") from error
    return judge.requires_grad_(False).eval()


def has_bundled_judge() -> bool:
    """Whether weights come with this version of the package."""
    return (bundled_folder() / WEIGHTS).is_file()
