"""Which dashboards a run appears on, by the `logger` section of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.systems.dashboards import WANDB_NOTE, Dashboard, Dashboards, warn
from framework.systems.full_disk import Writes
from framework.systems.local_dashboards import MetricsTable, PictureFolder, TensorBoard


def open_dashboards(config: RunConfig, directory: RunDirectory, *, start_step: int) -> Dashboards:
    """The dashboards that a config asks for, continued from `start_step`; one that cannot be opened is a warning."""
    kinds: list[type[Dashboard]] = [PictureFolder]
    kinds += [MetricsTable] if config.logger.csv else []
    kinds += [TensorBoard] if config.logger.tensorboard else []
    if config.logger.wandb is not None:
        from framework.systems.wandb_dashboard import WandbDashboard

        kinds.append(WandbDashboard)
    dashboards = []
    for kind in kinds:
        try:
            dashboards.append(kind(config, directory, start_step=start_step))
        except Exception as error:
            warn(kind.title, error)
    return Dashboards(dashboards, Writes(max_missed_checkpoints=config.trainer.max_missed_checkpoints))


def no_dashboards() -> Dashboards:
    """What shows nothing, for the processes that write nothing."""
    return Dashboards([], Writes(max_missed_checkpoints=0))


def add_scores(directory: RunDirectory, scores: Mapping[str, Any]) -> None:
    """Add scores to a run where it was logged to Weights & Biases; a failure is a warning."""
    if WANDB_NOTE not in directory.state():
        return
    from framework.systems.wandb_dashboard import WandbDashboard, add_to_summary

    try:
        add_to_summary(directory, {"scores": scores})
    except Exception as error:
        warn(WandbDashboard.title, error)
