"""`--doctor`: what is installed, on what it will run, and which implementation each operation will use and why."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from framework.core.provenance import commit, machine, versions

OPTIONAL = {
    "warp-lang": "the fast implementation of most operations",
    "wandb": "the Weights & Biases logger",
    "tensorboard": "TensorBoard logs",
    "imageio-ffmpeg": "turntable videos",
    "xatlas": "texture coordinates of exported meshes",
    "fast-simplification": "decimation of exported meshes",
}


def doctor(gpus: Sequence[int] | None) -> int:
    """Print the report; returns 0, or 1 if something is missing that the default run needs."""
    from framework.cli.train import device

    console = Console()
    target = device(gpus)
    console.print(f"Distill3D at commit {commit()} on {machine()}; runs will use '{target}'.")
    missing = _packages(console)
    _operations(console, str(target))
    _prior(console)
    _folders(console)
    for name in missing:
        console.print(f"Missing: {name}, needed for {OPTIONAL[name]}. Install it with: pip install {name}")
    return 1 if missing else 0


def _packages(console: Console) -> list[str]:
    table, missing = Table("package", "version", "used for", title="Packages"), []
    found = versions()
    for name, version in found.items():
        table.add_row(name, version, OPTIONAL.get(name, "everything"))
    for name, purpose in OPTIONAL.items():
        if name in found:
            continue
        try:
            table.add_row(name, metadata.version(name), purpose)
        except metadata.PackageNotFoundError:
            missing.append(name)
    console.print(table)
    return missing


def _operations(console: Console, device: str) -> None:
    from framework.ops.backends import choices

    table = Table("operation", "implementation", "why not the others before it", title=f"Operations on '{device}'")
    for choice in choices(device, {}):
        table.add_row(choice.operation, choice.chosen, "; ".join(choice.passed_over) or "it is the preferred one")
    console.print(table)


def _prior(console: Console) -> None:
    from framework.diffusion.families.folder import INDEX
    from framework.diffusion.toybox import bundled_folder

    if (bundled_folder() / INDEX).is_file():
        console.print(f"The bundled network prior is at {bundled_folder()}.")
    else:
        console.print("No network prior is bundled; 'prior: oracle' works without one.")


def _folders(console: Console) -> None:
    for name, path in (("temporary files", Path(tempfile.gettempdir())), ("this folder", Path.cwd())):
        if not os.access(path, os.W_OK):
            console.print(f"Cannot write to {name} ({path}).")
