"""By what something was made: code version, package versions and machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.core.run_config import RunConfig
    from framework.core.step import StepInfo

PACKAGES = ("torch", "diffusers", "transformers", "warp-lang", "pytorch-lightning", "numpy")


def commit() -> str:
    """The commit of the project's checkout, `unknown` outside one; with `+changes` where files other than docs differ.

    Benchmarks write their results into the docs, which changes no number.
    """
    root = Path(__file__).resolve().parents[2]
    try:
        name = _git(root, "rev-parse", "--short=12", "HEAD")
        is_changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs"))
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return name + ("+changes" if is_changed else "")


def machine() -> str:
    """The processor and, where there is one, the CUDA device."""
    import torch

    name = f"{_processor()}, {os.cpu_count()} cores"
    return f"{name}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else name


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int | None:
    """The most memory that this process has had resident so far, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def origin(run: RunConfig, step: StepInfo) -> dict[str, Any]:
    """Where trained weights come from, for the card beside them: the run's settings but for places on this machine."""
    from framework.core.config import dump

    recipe = {name: value for name, value in dump(run).items() if name not in ("output_root", "resume")}
    return {"steps": step.step, "seed": run.seed, "recipe": recipe, "made_by": provenance()}


def provenance() -> dict[str, Any]:
    """Commit, machine and versions."""
    return {"commit": commit(), "machine": machine(), "versions": versions()}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(root: Path, *words: str) -> str:
    result = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10)
    return result.stdout.strip()
