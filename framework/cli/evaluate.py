"""`--validate`, `--test` and `--export`: looking again at a run that was trained before."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from framework.cli import extensions, train
from framework.core.config import parse
from framework.core.errors import ConfigError
from framework.core.peaks import Peaks
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory, resume_target
from framework.core.yaml_tree import load_tree, override

if TYPE_CHECKING:
    from framework.systems.base import System
    from framework.systems.lightning import Shell


def run(options: argparse.Namespace, custom: Path) -> int:
    """Do what the options name with the newest checkpoint of `--run`, or the one that `resume=` names."""
    if options.run is None:
        raise ConfigError("--run is missing: name the run folder, such as --run outputs/dreamfusion/a-snowman@...")
    console = Console()
    directory = RunDirectory.open(options.run).result()
    tree = override(load_tree(directory.config), options.settings)
    extensions.load(custom, only=extensions.named_in(tree), without=options.without)
    config = parse(RunConfig, tree)
    train.check(config)
    system, shell = train.build(config, directory, _checkpoints(directory, config), options)
    peaks = Peaks()
    if options.export:
        with peaks.phase("export"):
            train.export(system, shell, directory, console)
        if directory.state().get("state") == "finished":
            directory.note({"reason": None})  # An export that failed before is mended.
    elif options.validate:
        with peaks.phase("pictures"):
            _validate(system, shell, directory, console)
    else:
        with peaks.phase("turntable"):
            train.name_files(system.test(directory.root, shell.step_info("test")), directory, console)
    directory.note({"memory": peaks.in_gib(directory.state().get("memory", {}))})
    train.report(directory, console)
    return 0


def _checkpoints(directory: RunDirectory, config: RunConfig) -> list[Path]:
    if config.resume is None or config.resume == "last":
        return directory.candidates()
    place = {"output_root": config.output_root, "name": config.name, "prompt": config.prompt}
    return resume_target(config.resume, **place)[1]


def _validate(system: System, shell: Shell, directory: RunDirectory, console: Console) -> None:
    from framework.systems.images import write_png

    for name, image in system.images(shell.step_info("validate")).items():
        path = directory.images / f"{name}-{shell.steps_done:06d}.png"
        write_png(path, image)
        train.name_files([path], directory, console)
