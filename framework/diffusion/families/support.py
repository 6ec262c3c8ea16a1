"""How far each family has been verified: the one place that listings and documentation are held to.

Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.diffusion.families.names import NAMES

RECORDS = "verified"
"""Name of the folder with the records that `--verify-prior` writes."""


@dataclass(frozen=True)
class Support:
    """One family.

    Attributes:
        title: What it is called.
        models: Short names of its models.
        structure: How its parameters were counted against those of the published model; "yes", or what was compared.
        replay: How a tiny model of the same classes was run through diffusers' pipeline and through ours; "yes", or more.
    """

    title: str
    models: tuple[str, ...]
    structure: str = "yes"
    replay: str = "yes"


SUPPORT = (
    Support(
        "Stable Diffusion 1.x, 2.x (epsilon and v)",
        ("stable-diffusion-1.5", "stable-diffusion-2.1-base", "stable-diffusion-2.1"),
    ),
    Support("Stable Diffusion XL", ("sdxl",)),
    Support("Stable Diffusion 3, 3.5", ("sd3-medium", "sd3.5-medium")),
    Support("FLUX.1", ("flux.1-dev", "flux.1-schnell")),
    Support("DeepFloyd IF, stage I", ("deepfloyd-if",), structure="to the published 4.3 billion"),
    Support("InstructPix2Pix", ("instruct-pix2pix",), replay="yes, with its three rows and two scales"),
    Support(
        "ControlNet (depth, normal, canny) beside Stable Diffusion 1.x, 2.x",
        (),
        structure="yes, that for 1.5",
        replay="yes, with every argument of both networks",
    ),
)


def read_records(folder: Path) -> list[Mapping[str, Any]]:
    """What `--verify-prior` wrote into a folder, oldest file name first; files that cannot be read are left out."""
    records: list[Mapping[str, Any]] = []
    for path in sorted(folder.glob("verified-*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def record_of(model: str, records: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record of a model by its short name, made with it or with one of the repositories that it stands for; or None."""
    names = {model, *(repository.id for repository in NAMES.get(model, ()))}
    found = [record for record in records if {record.get("model"), record.get("repository")} & names]
    return next((record for record in found if record.get("passed")), found[0] if found else None)


def is_verified(model: str, records: list[Mapping[str, Any]]) -> bool:
    """Whether a model was verified with its published weights."""
    record = record_of(model, records)
    return record is not None and bool(record.get("passed"))
