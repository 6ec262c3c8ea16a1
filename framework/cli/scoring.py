"""`--evaluate`: scores of runs and GLB files whose prompts name toybox scenes."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from framework.cli.report import refresh
from framework.core.errors import ConfigError, UserError
from framework.core.files import write_text
from framework.core.run_directory import RunDirectory
from framework.core.yaml_tree import load_tree

if TYPE_CHECKING:
    from framework.systems.scoring import Scored
    from framework.toybox.scenes import SceneSpec

COMPARISON = "comparison.html"
_SETTING = re.compile(r"^[A-Za-z_][\w.]*=")


@dataclass(frozen=True)
class Target:
    """Something to score.

    Attributes:
        glb: The exported mesh.
        prompt: What it should be.
        directory: The run whose result it is; None of a file, and of a particle beside the first.
        name: What it is called in the table.
    """

    glb: Path
    prompt: str
    directory: RunDirectory | None
    name: str

    @property
    def scores(self) -> Path:
        """Where its scores are written."""
        return self.glb.with_suffix(".scores.json") if self.directory is None else self.directory.scores


def run(options: argparse.Namespace) -> int:
    """Score what `--evaluate` names; returns the exit status.

    Raises:
        UserError: If something named cannot be scored: before anything is scored where that can be known.
    """
    words: list[str] = [*options.evaluate, *options.settings]
    settings = dict(word.split("=", 1) for word in words if _SETTING.match(word))
    unknown = sorted(settings.keys() - {"prompt"})
    if unknown:
        raise ConfigError(f"{unknown[0]}: --evaluate takes no setting but prompt=..., for GLB files of no run.")
    named = [Path(word) for word in words if not _SETTING.match(word)]
    targets = [target for path in named for target in _targets(path, settings.get("prompt"))]
    specs = [_spec(target) for target in targets]
    from framework.systems.scoring import score  # Not before: torch takes seconds to import.

    console, results = Console(), []
    for target, spec in track(list(zip(targets, specs, strict=True)), description="Scoring", transient=True):
        results.append(score(target.glb, spec))
        _record(target, results[-1])
    console.print(_table(targets, results))
    _say_agreement(console, results)
    directories = [target.directory for target in targets if target.directory is not None]
    if len(directories) > 1:
        console.print(str(_comparison(directories)), soft_wrap=True, markup=False, highlight=False)
    return 0


def _targets(path: Path, prompt: str | None) -> list[Target]:
    """The mesh of a file, or those of a run: one, or as many as it has particles."""
    if path.is_dir():
        directory = RunDirectory.open(path).result()
        if not directory.model.is_file():
            raise UserError(f"{path}: has no exported mesh. Make one with --export --run {path}")
        prompt = prompt or _prompt_of(directory)
        others = [
            Target(model, prompt, None, f"{prompt} ({model.parents[1].name})") for model in directory.other_particles()
        ]
        return [Target(directory.model, prompt, directory, prompt), *others]
    if not path.is_file():
        raise UserError(f"--evaluate: there is no run folder and no GLB file at '{path}'.")
    if prompt is None:
        raise UserError(f'{path}: what should it be? Say so with prompt="...", or name its run folder instead.')
    return [Target(path, prompt, None, prompt)]


def _prompt_of(directory: RunDirectory) -> str:
    return str(load_tree(directory.config).data.get("prompt", ""))


def _spec(target: Target) -> SceneSpec:
    from framework.toybox.captions import UnknownPrompt, parse_prompt

    try:
        spec = parse_prompt(target.prompt)
    except UnknownPrompt as error:
        raise UserError(f"{target.glb}: only what the toybox can name can be scored. {error}") from error
    if spec is None:
        raise UserError(f"{target.glb}: the toybox has no scene like '{target.prompt}', so it cannot be scored.")
    return spec


def _record(target: Target, result: Scored) -> None:
    """Write the scores into the run, or beside the file, with what the run noted of its time and memory."""
    from framework.systems.loggers import add_scores

    noted: dict[str, Any] = {} if target.directory is None else target.directory.state()
    costs: dict[str, Any] = {name: noted[name] for name in ("seconds", "peak_memory_gib") if name in noted}
    values: dict[str, Any] = {"prompt": target.prompt, **result.values, **costs}
    write_text(target.scores, json.dumps(values, indent=2) + "\n")
    if target.directory is not None:
        refresh(target.directory)
        add_scores(target.directory, values)


def _table(targets: Sequence[Target], results: Sequence[Scored]) -> Table:
    table = Table("prompt", "shape", "IoU", "margin", "F 2 %", "colour", "front", "judge", title="Scores")
    for target, result in zip(targets, results, strict=True):
        values = result.values
        table.add_row(
            target.name,
            _number(values["shape_score"]),
            _number(values["iou"]),
            _number(values["margin"]),
            _number(values["surface"]["f_score_2"]),
            _number(values["color"] and values["color"]["error"], digits=1),
            _front(values["facing"]),
            _verdict(values["judge"]),
        )
    return table


def _number(value: float | None, *, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _front(facing: dict[str, Any] | None) -> str:
    if facing is None:
        return "-"
    return "right" if facing["is_front_right"] and facing["is_back_right"] else "wrong"


def _verdict(judge: dict[str, Any] | None) -> str:
    return "-" if judge is None else f"{'right' if judge['colors_right'] else 'wrong'}: {judge['sees']}"


def _say_agreement(console: Console, results: Sequence[Scored]) -> None:
    asked = [result.judges_agree for result in results if result.judges_agree is not None]
    if asked:
        console.print(
            f"The judge agrees with the best match without a network on {sum(asked)} of {len(asked)} objects."
        )


def _comparison(directories: Sequence[RunDirectory]) -> Path:
    from framework.report.comparison import write_comparison

    folder = Path(os.path.commonpath([directory.root.resolve().parent for directory in directories]))
    return write_comparison(directories, folder / COMPARISON)
