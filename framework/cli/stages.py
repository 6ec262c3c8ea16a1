"""Training in stages: one after the other in one run folder, each from what the ones before have made."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from framework.cli import train
from framework.cli.viewing import opened
from framework.core import ranks
from framework.core.errors import ConfigError, UserError, did_you_mean
from framework.core.files import write_text
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory, resumed_stages, run_of_job
from framework.core.stages import STAGES, within

if TYPE_CHECKING:
    from framework.viewer.window import Window


def run(stages: Mapping[str, RunConfig], options: argparse.Namespace) -> int:
    """Train the stages that are not finished yet, or the one that `--stage` names; returns the exit status.

    Raises:
        ConfigError: With the problems of all stages, before the first of them begins.
        UserError: If a stage fails, or the one that it starts from has not been finished.
    """
    console = Console(quiet=not ranks.is_first())
    check(stages)
    if options.stage is not None and options.stage not in stages:
        hint = did_you_mean(options.stage, stages)
        raise ConfigError(f"--stage: this config has no stage '{options.stage}'.{hint}")
    with opened(options.viewer, stages.values(), console) as window:
        return _run(stages, console, options, window)


def _run(stages: Mapping[str, RunConfig], console: Console, options: argparse.Namespace, window: Window | None) -> int:
    first = next(iter(stages.values()))
    directory = ranks.from_first(lambda: _directory(first, _yaml(stages)))
    directory.note({"stages": list(stages)})
    if ranks.is_first():
        write_text(directory.config, _yaml(stages))
    try:
        status = _train(stages, directory, console, options, window)
    except BaseException as error:
        if ranks.is_first():
            _note_failure(directory, error)
        raise
    if ranks.is_first():
        train.report(directory, console)
    return status


def check(stages: Mapping[str, RunConfig]) -> None:
    """Raise every misfit of every stage, before anything is built.

    Raises:
        ConfigError: With all of them.
    """
    problems = []
    for name, config in stages.items():
        source = stages.get(config.start_from or "")
        try:
            train.check(config, source=source)
        except ConfigError as error:
            problems += within(name, error)
    if problems:
        raise ConfigError(problems)


def _train(
    stages: Mapping[str, RunConfig],
    directory: RunDirectory,
    console: Console,
    options: argparse.Namespace,
    window: Window | None,
) -> int:
    chosen = stages if options.stage is None else {options.stage: stages[options.stage]}
    for name, config in chosen.items():
        folder = directory.stage(name)
        if ranks.from_first(partial(_is_finished, folder)):
            train.say(console, f"Stage '{name}' is finished: {folder.root}")
            continue
        directory.set_state("running", step=0)
        train.say(console, f"Stage '{name}'")
        start, checkpoints = ranks.from_first(partial(_begin, name, stages, directory))
        config = dataclasses.replace(config, start_from=start)
        status = train.run_in(folder, config, checkpoints, console, options, window)
        if status:
            directory.set_state("interrupted", step=0)
            return status
    if not ranks.is_first():
        return 0
    is_finished = all(_is_finished(directory.stage(name)) for name in stages)
    directory.set_state("finished" if is_finished else "interrupted", step=0)
    return 0


def _is_finished(folder: RunDirectory) -> bool:
    return folder.state().get("state") == "finished"


def _begin(name: str, stages: Mapping[str, RunConfig], directory: RunDirectory) -> tuple[str | None, list[Path]]:
    """Make the folder of a stage; returns what it starts from and the checkpoints to go on from.

    Raises:
        UserError: If the stage that it starts from has not been finished.
    """
    folder, start = directory.stage(name), _located(name, stages, directory)
    folder.root.mkdir(exist_ok=True)
    folder.note({"stage": name})
    return start, folder.candidates() if folder.checkpoints() else []


def _located(name: str, stages: Mapping[str, RunConfig], directory: RunDirectory) -> str | None:
    """What a stage starts from, which is a folder where it is an earlier stage.

    Raises:
        UserError: If that stage has not been finished.
    """
    start = stages[name].start_from
    if start is None or start not in stages:
        return start
    source = directory.stage(start)
    if not _is_finished(source):
        raise UserError(
            f"Stage '{name}' starts from stage '{start}', which has not been finished in {directory.root}. "
            f"Train it first: --stage {start} resume={directory.root}"
        )
    return str(source.root)


def _directory(config: RunConfig, text: str) -> RunDirectory:
    place = {"output_root": config.output_root, "name": config.name, "prompt": config.prompt}
    if config.resume is not None:
        return resumed_stages(config.resume, **place)
    return run_of_job(text, **place) or RunDirectory.create(**place)


def _note_failure(directory: RunDirectory, error: BaseException) -> None:
    """Record why the run ended; a run folder in which nothing was begun does not stay behind."""
    if any(path.is_dir() for path in directory.root.iterdir()):
        train.attempt(lambda: directory.set_state("failed", step=0, reason=train.cause(error)), directory)
        return
    directory.config.unlink(missing_ok=True)
    directory.remove_empty()


def _yaml(stages: Mapping[str, RunConfig]) -> str:
    """The resolved configs of all stages, as a file that can be trained from again."""
    first = next(iter(stages.values()))
    trees = {name: train.kept_tree(config) for name, config in stages.items()}
    return train.yaml_text({"name": first.name, "prompt": first.prompt, STAGES: trees})
