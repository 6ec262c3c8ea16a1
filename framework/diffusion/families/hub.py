"""Models from the Hugging Face hub: only the files that are read, from the first repository that can be had."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from framework.core.errors import UserError
from framework.diffusion.families.names import NAMES, HubModel, repositories

log = logging.getLogger(__name__)

ALTERNATIVES = (
    "Name a model folder on this machine, a hub id that is public and has safetensors weights, a short name "
    f"({', '.join(NAMES)}), or use 'prior: toybox' or 'prior: oracle', which need no download."
)
PARTS_NOT_READ = ("safety_checker/*", "image_encoder/*", "feature_extractor/*")


def pipeline_files(variant: str | None) -> tuple[list[str], list[str]]:
    """Patterns of a pipeline's files that are read: configs, tokenizers, weights of one variant; and of those that are not."""
    weights = f"*/*.{variant}*.safetensors" if variant else "*/*.safetensors"
    others = [] if variant else ["*.fp16*.safetensors", "*.bf16*.safetensors", "*.non_ema*.safetensors"]
    return ["model_index.json", "*/*.json", "*/*.txt", "*/spiece.model", weights], [*others, *PARTS_NOT_READ]


def component_files(variant: str | None) -> tuple[list[str], list[str]]:
    """Patterns of the files of a repository that holds one component."""
    weights = f"diffusion_pytorch_model.{variant}*.safetensors" if variant else "diffusion_pytorch_model.safetensors"
    return ["config.json", weights], []


def download(
    model: str, *, revision: str | None, files: tuple[list[str], list[str]], local_files_only: bool
) -> tuple[Path, str]:
    """The local snapshot of a model, and the id of the repository that it is from.

    Args:
        model: A hub id or a short name.
        revision: Branch, tag or commit; None for the one that is pinned, or else the main branch.
        files: Patterns of the files that are read, and of those among them that are not.
        local_files_only: Whether to use what was downloaded before, without asking the hub.

    Raises:
        UserError: If it cannot be had from any repository, with the reason that each gave.
    """
    import huggingface_hub

    wanted, unwanted = files
    failures: list[tuple[HubModel, Exception]] = []
    for repository in repositories(model, revision=revision):
        try:
            path = huggingface_hub.snapshot_download(
                repository.id,
                revision=repository.revision,
                allow_patterns=wanted,
                ignore_patterns=unwanted,
                local_files_only=local_files_only,
            )
        except Exception as error:  # Offline, unknown, private or gated: to the user the model cannot be had here.
            failures.append((repository, error))
            continue
        for failed, _ in failures:
            log.warning("Model '%s' could not be had from %s; %s is used instead.", model, failed.id, repository.id)
        return Path(path), repository.id
    action = "was not downloaded to this machine before" if local_files_only else "could not be downloaded from the hub"
    raise UserError(f"Model '{model}' {action}: {_reasons(model, failures)} {ALTERNATIVES}") from failures[-1][1]


def _reasons(model: str, failures: Sequence[tuple[HubModel, Exception]]) -> str:
    reasons = []
    for repository, error in failures:
        name = "" if repository.id == model else f"{repository.id}: "
        reasons.append(name + _reason(repository, error))
    return "; ".join(reasons)


def _reason(repository: HubModel, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return (
            f"it is gated. Accept its terms at https://huggingface.co/{repository.id} and log in with `hf auth login`."
        )
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
