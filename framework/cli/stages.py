"""Training in stages: one after the other in one run folder, each from what the ones before have made."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from framework.cli import train
from framework.cli.viewing import opened
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
    console = Console()
    check(stages)
    if options.stage is not None and options.stage not in stages:
        hint = did_you_mean(options.stage, stages)
        raise ConfigError(f"--stage: this config has no stage '{options.stage}'.{hint}")
    with opened(options.viewer, stages.values(), console) as window:
        return _run(stages, console, options, window)


def _run(stages: Mapping[str, RunConfig], console: Console, options: argparse.Namespace, window: Window | None) -> int:
    first = next(iter(stages.values()))
    directory = _directory(first, _yaml(stages))
    directory.note({"stages": list(stages)})
    write_text(directory.config, _yaml(stages))
    try:
        status = _train(stages, directory, console, options, window)
    except BaseException as error:
        _note_failure(directory, error)
        raise
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
        if folder.state().get("state") == "finished":
            train.say(console, f"Stage '{name}' is finished: {folder.root}")
            continue
        directory.set_state("running", step=0)
        train.say(console, f"Stage '{name}'")
        config = _located(name, config, stages, directory)
        folder.root.mkdir(exist_ok=True)
        folder.note({"stage": name})
        checkpoints = folder.candidates() if folder.checkpoints() else []
        status = train.run_in(folder, config, checkpoints, console, options, window)
        if status:
            directory.set_state("interrupted", step=0)
            return status
    is_finished = all(directory.stage(name).state().get("state") == "finished" for name in stages)
    directory.set_state("finished" if is_finished else "interrupted", step=0)
    return 0


def _located(name: str, config: RunConfig, stages: Mapping[str, RunConfig], directory: RunDirectory) -> RunConfig:
    """`config` with the folder of the stage that it starts from in place of its name.

    Raises:
        UserError: If that stage has not been finished.
    """
    start = config.start_from
    if start is None or start not in stages:
        return config
    source = directory.stage(start)
    if source.state().get("state") != "finished":
        raise UserError(
            f"Stage '{name}' starts from stage '{start}', which has not been finished in {directory.root}. "
            f"Train it first: --stage {start} resume={directory.root}"
        )
    return dataclasses.replace(config, start_from=str(source.root))


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
