"""Training: from a parsed config to a finished run folder."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from framework.cli.report import refresh
from framework.cli.viewing import opened
from framework.core import ranks
from framework.core.config import dump
from framework.core.errors import ConfigError, Interrupted, Problem, UserError
from framework.core.files import write_text
from framework.core.peaks import Peaks, told
from framework.core.provenance import provenance
from framework.core.ranks import RankLost
from framework.core.registries import SYSTEMS
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory, resume_target, run_of_job

if TYPE_CHECKING:
    import torch

    from framework.systems.base import System
    from framework.systems.dashboards import Dashboards
    from framework.systems.lightning import Shell
    from framework.viewer.window import Window

_log = logging.getLogger(__name__)
_SIGNALLED = 128
"""Added to the number of the signal that ended a training, as shells do: 130 after Ctrl-C, 143 after SIGTERM."""


def run(config: RunConfig, options: argparse.Namespace) -> int:
    """Train, then export; returns the exit status."""
    console = Console(quiet=not ranks.is_first())
    resumed = ranks.from_first(lambda: _resumed(config))
    check(config)
    with opened(options.viewer, [config], console) as window:
        directory, checkpoints = resumed or (ranks.from_first(lambda: _new_directory(config)), [])
        if resumed is not None and not checkpoints:
            say(console, "The run was stopped before its first checkpoint, and begins again.")
        return run_in(directory, config, checkpoints, console, options, window)


def run_in(
    directory: RunDirectory,
    config: RunConfig,
    checkpoints: Sequence[Path],
    console: Console,
    options: argparse.Namespace,
    window: Window | None = None,
) -> int:
    """Train in a run folder, from the first whole one of `checkpoints` if there are any; then export.

    Returns the exit status.
    """
    if not ranks.is_first():
        return _assist(directory, config, checkpoints, console, options)
    say(console, f"Writing to {directory.root}")
    directory.tidy()
    started, peaks = time.monotonic(), Peaks()
    with peaks.phase("loading"):
        system, shell = _prepare(config, directory, checkpoints, options)
    directory.set_state("running", step=shell.steps_done)
    directory.note({"made_by": provenance()})
    write_text(directory.config, yaml_text(kept_tree(config)))
    from framework.systems.loggers import open_dashboards  # Not before: torch takes seconds to import.

    dashboards = open_dashboards(config, directory, start_step=shell.steps_done)
    try:
        stopped_by = fit(system, shell, directory, dashboards, console, options, peaks, window)
    except BaseException as error:
        _note_failure(directory, error, time.monotonic() - started, peaks, console)
        if isinstance(error, Exception):  # Else the user wants to quit at once.
            _close(dashboards, directory)
            report(directory, console)
        raise
    _add_costs(directory, time.monotonic() - started, peaks, console)
    _close(dashboards, directory)
    report(directory, console)
    if stopped_by is not None:
        say(console, f"Stopped and saved. Go on with: resume={directory.whole().root}")
        return _SIGNALLED + stopped_by
    say(console, f"Done in {time.monotonic() - started:.0f} s: {directory.root}")
    return 0


def _assist(
    directory: RunDirectory,
    config: RunConfig,
    checkpoints: Sequence[Path],
    console: Console,
    options: argparse.Namespace,
) -> int:
    """Train as one of the processes that write nothing; returns the exit status."""
    from framework.systems.loggers import no_dashboards

    _, shell = build(config, directory, checkpoints, options)
    stopped_by = train(shell, directory, no_dashboards(), console, options, Peaks())
    return 0 if stopped_by is None else _SIGNALLED + stopped_by


def check(config: RunConfig, *, source: RunConfig | None = None) -> None:
    """Raise every misfit between the parts of a config, before anything is built.

    Args:
        config: What is to be trained.
        source: The stage that it starts from; without one, `start_from` is a path.

    Raises:
        ConfigError: With all of them.
    """
    system = SYSTEMS.find(SYSTEMS.name_of(config.system))
    problems = system.check(config.system, config)
    if config.start_from is not None:
        from framework.systems.starting import start_problems

        problems += start_problems(config, source)
    if problems:
        raise ConfigError(problems)


def fit(
    system: System,
    shell: Shell,
    directory: RunDirectory,
    dashboards: Dashboards,
    console: Console,
    options: argparse.Namespace,
    peaks: Peaks,
    window: Window | None = None,
) -> signal.Signals | None:
    """Train to the end and export; returns the signal that stopped it before, if one did."""
    with peaks.phase("training"):
        stopped_by = train(shell, directory, dashboards, console, options, peaks, window)
    if stopped_by is not None:
        directory.set_state("interrupted", step=shell.steps_done)
        return stopped_by
    try:
        with peaks.phase("export"):
            written = export(system, shell, directory, console)
        dashboards.exported(shell.steps_done, written)
    except UserError as error:
        # The training is done and saved; there is nothing to resume, only an export to repeat.
        directory.set_state("finished", step=shell.steps_done, reason=str(error))
        raise
    directory.set_state("finished", step=shell.steps_done)
    return None


def export(system: System, shell: Shell, directory: RunDirectory, console: Console) -> list[Path]:
    """Write what the training was for, and name the files; returns them.

    Raises:
        UserError: If there is nothing to write, or too little memory for it even piece by piece.
    """
    from framework.ops.chunks import is_out_of_memory
    from framework.systems.memory import no_memory_to_export

    try:
        paths = system.export(directory.root, shell.step_info("export"))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise no_memory_to_export(error, directory) from error
    name_files(paths, directory, console)
    return paths


def report(directory: RunDirectory, console: Console) -> None:
    """Write the report of what there is by now, and name it."""
    if refresh(directory):
        name_files([directory.report], directory, console)


def name_files(paths: Iterable[Path], directory: RunDirectory, console: Console) -> None:
    """Print the files that were written, relative to the run folder."""
    for path in paths:
        say(console, f"  {path.relative_to(directory.root)}")


def say(console: Console, line: str) -> None:
    """Print a line with paths as it is: not wrapped, and brackets in it are no markup."""
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def _prepare(
    config: RunConfig, directory: RunDirectory, checkpoints: Sequence[Path], options: argparse.Namespace
) -> tuple[System, Shell]:
    """What `build` returns; where that fails, a run folder made for it does not stay behind."""
    try:
        if config.logger.wandb is not None:
            from framework.systems.wandb_dashboard import check_account

            check_account(config.logger.wandb)
        return build(config, directory, checkpoints, options)
    except BaseException:
        if not checkpoints:
            directory.remove_empty()
        raise


def build(
    config: RunConfig, directory: RunDirectory, checkpoints: Sequence[Path], options: argparse.Namespace
) -> tuple[System, Shell]:
    """The system and its shell, restored from the first whole one of `checkpoints` if there are any."""
    from framework.core.checkpoint import check_parts, check_same_components, load_newest
    from framework.systems.optimization import freeze

    target = device(options.gpu, ranks.local_rank())
    check_backends(config, target)
    content = None
    if checkpoints:
        content, checkpoint = load_newest(checkpoints)
        check_parts(content, checkpoint)
        check_same_components(content["config"]["system"], dump(config)["system"], checkpoint)
    system = SYSTEMS.build(config.system, run=config, device=target)
    if content is not None:
        system.make_room(content["state"]["system"])
    elif config.start_from is not None:
        system.start_from(Path(config.start_from))
    system.to(target)
    freeze(system, config.freeze)
    # Not before: Lightning takes seconds to import, and what is wrong with a prior should be told sooner.
    from framework.systems.lightning import Shell

    shell = Shell(system, run=config, directory=directory)
    if content is not None:
        shell.restore(content)
    return system, shell


def train(
    shell: Shell,
    directory: RunDirectory,
    dashboards: Dashboards,
    console: Console,
    options: argparse.Namespace,
    peaks: Peaks,
    window: Window | None = None,
) -> signal.Signals | None:
    """Run Lightning's loop over the steps that are left; returns the signal that stopped it, if one did.

    With a `window` it can be watched.

    Raises:
        OutOfMemory: If the device has too little memory; checkpoints up to then are kept.
    """
    import pytorch_lightning as pl

    from framework.ops.chunks import is_out_of_memory
    from framework.systems.callbacks import GentleStop, Records, StepProgress
    from framework.systems.memory import out_of_memory
    from framework.systems.placement import placement

    if shell.steps_done >= shell.run.trainer.max_steps:
        console.print(f"All {shell.run.trainer.max_steps} steps are done already.")
        return None
    stop, records = GentleStop(console), Records(directory, dashboards, peaks)
    callbacks: list[pl.Callback] = [*([StepProgress(console)] if ranks.is_first() else []), records]
    if window is not None:
        from framework.viewer.live_view import LiveView

        tell = functools.partial(name_files, directory=directory, console=console)
        callbacks.append(LiveView(window, records, stop, name_files=tell))
    _quiet_lightning()
    trainer = pl.Trainer(
        **placement(shell, device(options.gpu, ranks.local_rank())),
        max_epochs=1,
        callbacks=[*callbacks, stop],
        default_root_dir=str(directory.root),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    try:
        trainer.fit(shell)
    except SystemExit as error:
        # How Lightning ends on a Ctrl-C that comes before its loop has begun.
        raise KeyboardInterrupt from error
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error, shell.run, directory, steps_done=shell.steps_done) from error
    except RankLost as error:
        kept = directory.checkpoints()
        last = f"The last checkpoint is {kept[-1]}; go on with resume=" if kept else "There is no checkpoint in "
        raise RankLost(f"{error} {last}{directory.whole().root}") from error
    return stop.stopped_by


def device(gpus: Sequence[int] | None, local_rank: int = 0) -> torch.device:
    """The CUDA device of one process: that asked for, else its own among those there are, else the CPU.

    Args:
        gpus: Those asked for, or None.
        local_rank: Number of the process among those on this machine.

    Raises:
        UserError: If there is none for it.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    missing = [gpu for gpu in gpus or () if not 0 <= gpu < count]
    if missing:
        asked = ",".join(str(gpu) for gpu in gpus or ())
        raise UserError(f"--gpu {asked}: this machine has {count} CUDA devices. Leave --gpu out to use what there is.")
    if gpus is None and count == 0:
        return torch.device("cpu")
    found = list(gpus or range(count))
    if len(found) == 1 and "SLURM_PROCID" in os.environ:  # Which may show each process its own device alone.
        return torch.device("cuda", found[0])
    if local_rank >= len(found):
        raise UserError(f"There are more processes than the {len(found)} CUDA devices. Start as many as devices.")
    return torch.device("cuda", found[local_rank])


def check_backends(config: RunConfig, target: torch.device) -> None:
    """Raise every request for an implementation that cannot be met on the device `target`.

    Raises:
        ConfigError: With all of them.
    """
    from framework.ops.backends import select

    problems = []
    for operation, requested in config.backends.items():
        try:
            select(operation, target, requested)
        except ValueError as error:
            problems.append(Problem(f"backends.{operation}", str(error)))
    if problems:
        raise ConfigError(problems)


def kept_tree(config: RunConfig) -> dict[str, Any]:
    """The resolved config as a run folder keeps it: but for where the run was resumed from."""
    return {**dump(config), "resume": None}


def yaml_text(tree: Mapping[str, Any]) -> str:
    """A plain tree as the text of a config file."""
    import yaml

    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120))


def cause(error: BaseException) -> str:
    """What went wrong, for those who read of it later."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return "Ended at once by the user."
    return f"{type(error).__name__}: {error}"


def _note_failure(
    directory: RunDirectory, error: BaseException, seconds: float, peaks: Peaks, console: Console
) -> None:
    """Record why and when a run ended."""
    before = directory.state()
    if before.get("state") == "running":
        attempt(lambda: directory.set_state("failed", step=before.get("step", 0), reason=cause(error)), directory)
    attempt(lambda: _add_costs(directory, seconds, peaks, console), directory)


def attempt(note: Callable[[], None], directory: RunDirectory) -> None:
    """Note how a run ended; where that fails, as on the full disk that ended it, say so instead."""
    try:
        note()
    except OSError as error:
        _log.warning("%s: how the run ended cannot be noted (%s).", directory.root, error.strerror)


def _add_costs(directory: RunDirectory, seconds: float, peaks: Peaks, console: Console) -> None:
    """Record time and memory of a run, which may have been resumed."""
    before = directory.state()
    entries: dict[str, Any] = {"seconds": round(before.get("seconds", 0.0) + seconds, 2)}
    entries["peak_memory_gib"] = max(before.get("peak_memory_gib", 0.0), round(peaks.largest() / 2**30, 3))
    entries["memory"] = peaks.in_gib(before.get("memory", {}))
    directory.note(entries)
    say(console, f"Peak memory: {told(entries['memory'])}")


def _close(dashboards: Dashboards, directory: RunDirectory) -> None:
    """Finish the dashboards with what is to be said of the run as a whole."""
    noted = directory.state()
    # A run that failed before and was resumed has no reason any more.
    dashboards.summary({name: noted.get(name) for name in ("state", "reason", "seconds", "peak_memory_gib")})
    dashboards.close(has_failed=noted.get("state") == "failed")


def _resumed(config: RunConfig) -> tuple[RunDirectory, list[Path]] | None:
    """The run and checkpoints to go on from, looked up before anything is imported that takes its time."""
    place = {"output_root": config.output_root, "name": config.name, "prompt": config.prompt}
    if config.resume is not None:
        return resume_target(config.resume, **place)
    run = run_of_job(yaml_text(kept_tree(config)), **place)
    return None if run is None else (run, run.checkpoints()[::-1])


def _new_directory(config: RunConfig) -> RunDirectory:
    return RunDirectory.create(config.output_root, config.name, config.prompt)


def _quiet_lightning() -> None:
    """Lightning's advice about data loaders and loggers does not apply to streams that are functions of the step."""
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
