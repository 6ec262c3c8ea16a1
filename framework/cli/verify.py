"""`--verify-prior`: whether a prior with its published weights does what its family says, for those who have them.

What comes out is a record, `verified-NAME.json`, that `--list prior` reads and the documentation is held to, with a picture
beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from framework.core.component import slot
from framework.core.config import dump, parse
from framework.core.errors import UserError, did_you_mean
from framework.core.files import write_text
from framework.core.provenance import peak_memory, provenance
from framework.core.registries import PRIORS
from framework.core.yaml_tree import Tree, override
from framework.diffusion.families.names import NAMES

if TYPE_CHECKING:
    from framework.diffusion.families.folder import ModelFolder
    from framework.systems.verification import Check

FAILED = 1
VERIFIABLE = ("pretrained", "toybox")


@dataclass(kw_only=True, frozen=True)
class VerifySettings:
    """What `--verify-prior` takes."""

    prior: Any = slot(PRIORS)
    """The prior."""
    output: str = ""
    """Folder for the record and the picture."""


def run(options: argparse.Namespace, records: Path) -> int:
    """Check the prior that `--verify-prior` names; returns the exit status, 1 if a check failed.

    Args:
        options: What the command line says; its settings are those of the prior, and `output=FOLDER`.
        records: Where the record is written by default.

    Raises:
        UserError: If there is no such prior, or the record cannot be written.
    """
    settings = parse(VerifySettings, _tree(options.verify_prior, options.settings))
    folder_for_record = Path(settings.output).expanduser() if settings.output else records
    stem = f"verified-{_slug(options.verify_prior)}"
    _require_writable(folder_for_record)
    console = Console()
    from framework.cli.train import device  # Not before: torch takes seconds to import.

    target = device(options.gpu)
    folder = _open(settings.prior)
    checks = _checks(settings.prior, folder, target, folder_for_record / f"{stem}.png")
    record = _record(options.verify_prior, settings.prior, folder, checks, str(target))
    path = folder_for_record / f"{stem}.json"
    write_text(path, json.dumps(record, indent=2) + "\n")
    console.print(_table(checks, options.verify_prior))
    console.print(str(path), soft_wrap=True, markup=False, highlight=False)
    for check in checks:
        if check.passed is False:
            console.print(f"{check.name}: {check.summary}", soft_wrap=True, markup=False, highlight=False)
    return FAILED if record["passed"] is False else 0


def _tree(name: str, words: Sequence[str]) -> Tree:
    """The settings as a config would state them."""
    data: dict[str, Any] = {"prior": _named(name)}
    return override(Tree(data), [word if word.startswith("output=") else f"prior.{word}" for word in words])


def _named(name: str) -> dict[str, str]:
    """What a registered name, a short name, a folder or a hub id means in a config."""
    if name in PRIORS.names():
        if name not in VERIFIABLE or name == "pretrained":
            raise UserError(
                f"--verify-prior {name}: names no weights. Name a folder, a hub id, toybox, or one of {', '.join(NAMES)}."
            )
        return {"type": name}
    if name not in NAMES and "/" not in name and not Path(name).expanduser().exists():
        hint = did_you_mean(name, [*NAMES, "toybox"])
        raise UserError(f"--verify-prior: there is no prior, no folder and no short name '{name}'.{hint}")
    return {"type": "pretrained", "model": name}


def _slug(name: str) -> str:
    """The last part of a path or hub id, as part of a file name."""
    last = Path(name).expanduser().resolve().name if Path(name).expanduser().exists() else name.rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", last).strip("-.") or "prior"


def _require_writable(folder: Path) -> None:
    """See that the record can be written, before hours are spent on it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".verifying"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"output: cannot write to {folder}: {error.strerror or error}. Choose another folder with output=..."
        ) from error


def _open(config: Any) -> ModelFolder:
    from framework.diffusion.families.folder import ModelFolder
    from framework.diffusion.toybox import ToyboxPrior, folder_of

    if isinstance(config, ToyboxPrior.Config):
        return ModelFolder.open(str(folder_of(config)))
    return ModelFolder.open(
        config.model, revision=config.revision, variant=config.variant, local_files_only=config.local_files_only
    )


def _checks(config: Any, folder: ModelFolder, target: Any, picture: Path) -> list[Check]:
    from framework.diffusion.families.catalog import family_of
    from framework.diffusion.families.options import DTYPES, LoadOptions
    from framework.diffusion.pretrained import PretrainedPrior
    from framework.systems.verification import verify

    dtype = family_of(folder).precision(LoadOptions(device=target, dtype=DTYPES.get(config.dtype)))
    if isinstance(config, PretrainedPrior.Config):  # What an earlier run has kept is not what is to be seen here.
        config = dataclasses.replace(config, cache_embeddings=False)
    return verify(folder, lambda: PRIORS.build(config, device=target), dtype=dtype, device=target, picture=picture)


def _record(name: str, config: Any, folder: ModelFolder, checks: Sequence[Check], device: str) -> dict[str, Any]:
    snapshot = folder.path.name if folder.path.parent.name == "snapshots" else None
    peak = peak_memory()
    return {
        "model": name,
        "passed": _verdict(checks),
        "date": date.today().isoformat(),
        "pipeline": folder.index.get("_class_name"),
        "repository": folder.repository,
        "revision": snapshot,
        "settings": dump(config),
        "device": device,
        "made_by": provenance(),
        "peak_memory_gib": None if peak is None else round(peak / 2**30, 3),
        "seconds": round(sum(check.seconds for check in checks), 2),
        "checks": {check.name: dataclasses.asdict(check) for check in checks},
    }


def _verdict(checks: Sequence[Check]) -> bool | None:
    """Whether all checks passed; None if none failed, but some do not apply."""
    results = [check.passed for check in checks]
    return False if False in results else None if None in results else True


def _table(checks: Sequence[Check], name: str) -> Table:
    table = Table("check", "result", "figures", "seconds", title=f"Verification of {name}")
    words = {True: "passed", False: "failed", None: "not applicable"}
    for check in checks:
        table.add_row(check.name, words[check.passed], check.summary, f"{check.seconds:.1f}")
    return table
