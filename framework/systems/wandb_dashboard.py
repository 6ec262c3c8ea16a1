"""Weights & Biases as a dashboard; the one module that knows the package, imported only where a config asks for it.

`run.json` notes the identity of a run there, so that whoever resumes or scores it goes on with the same one. Offline, each
of them leaves a folder of its own in `wandb/`, and `wandb sync` puts them together by that identity.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import wandb
from jaxtyping import Float
from torch import Tensor

from framework.core.config import dump
from framework.core.errors import ConfigError, Problem
from framework.core.run_config import RunConfig, WandbConfig
from framework.core.run_directory import RunDirectory
from framework.systems.dashboards import STEP, WANDB_NOTE, Dashboard, cause

_log = logging.getLogger(__name__)


class WandbDashboard(Dashboard):
    """Numbers, pictures, config, what was exported, and W&B's own measurements of the machine."""

    title = "Weights & Biases"

    def __init__(self, config: RunConfig, directory: RunDirectory, *, start_step: int) -> None:
        assert config.logger.wandb is not None
        identity = _noted(directory) | _identity(config.logger.wandb, directory)
        self.directory = directory
        said = {"config": dump(config), "tags": config.logger.wandb.tags}
        try:
            self.run = _open(directory, identity, **said)
        except wandb.errors.CommError as error:
            _log.warning("%s does not answer (%s). The run is logged offline.", self.title, cause(error))
            self.run = _open(directory, {**identity, "offline": True}, **said)
        directory.note({WANDB_NOTE: {**identity, "id": self.run.id, "offline": self.run.offline}})
        # W&B counts calls of `log` itself, and begins anew with every offline part of a run.
        self.run.define_metric(STEP, hidden=True)
        self.run.define_metric("*", step_metric=STEP)
        if not self.run.offline:
            _log.info("%s: %s", self.title, self.run.url)

    def scalars(self, step: int, values: Mapping[str, float], *, at: float) -> None:
        self.run.log({**values, STEP: step})

    def image(self, step: int, name: str, image: Float[Tensor, "H W 3"]) -> None:
        levels = (image.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
        self.run.log({f"images/{name}": wandb.Image(levels), STEP: step})

    def exported(self, step: int, paths: Sequence[Path]) -> None:
        shown = {f"export/{path.stem}": media for path in paths if (media := _media(path)) is not None}
        if shown:
            self.run.log({**shown, STEP: step})

    def summary(self, values: Mapping[str, Any]) -> None:
        self.run.summary.update(dict(values))

    def close(self, *, has_failed: bool) -> None:
        self.run.finish(exit_code=int(has_failed))
        if self.run.offline:
            _say_how_to_sync(self.directory)


def add_to_summary(directory: RunDirectory, values: Mapping[str, Any]) -> None:
    """Add numbers to what is said of a logged run as a whole; those below others are named by their path."""
    run = _open(directory, _noted(directory))
    run.summary.update(dict(_flat(values)))
    run.finish()
    if run.offline:
        _say_how_to_sync(directory)


def check_account(settings: WandbConfig) -> None:
    """Raise if the run could not be logged for want of an account; asks for none, as nobody may be there to answer.

    Raises:
        ConfigError: If nobody is logged in, though the run is to be logged at once. A service that does not answer now is
            no reason not to train.
    """
    if settings.offline or os.environ.get("WANDB_MODE", "online") != "online":
        return
    try:
        is_known = wandb.login(prompt=False)
    except wandb.Error:  # A key that is not accepted, or no network; the same then fails when the run is opened.
        return
    if not is_known:
        advice = "Do so with `wandb login`, or set logger.wandb.offline=true and sync the run later."
        raise ConfigError([Problem("logger.wandb", f"nobody is logged in. {advice}")])


def _identity(settings: WandbConfig, directory: RunDirectory) -> dict[str, Any]:
    """What a run is called at W&B, all but its id."""
    whole = directory.whole()
    is_stage = whole is not directory
    return {
        "project": settings.project,
        "name": settings.name or (f"{whole.root.name}/{directory.root.name}" if is_stage else directory.root.name),
        "group": settings.group or (whole.root.name if is_stage else None),
        "offline": settings.offline,
    }


def _noted(directory: RunDirectory) -> dict[str, Any]:
    noted = directory.state().get(WANDB_NOTE)
    return dict(noted) if isinstance(noted, dict) else {}


def _open(
    directory: RunDirectory,
    identity: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
) -> wandb.Run:
    return wandb.init(
        id=identity.get("id"),  # None: a new one, or that of the sweep's agent
        resume="allow",
        project=identity["project"],
        name=identity["name"],
        group=identity["group"],
        tags=list(tags) or None,
        config=None if config is None else dict(config),
        dir=str(directory.root),
        mode="offline" if identity["offline"] else None,
        reinit="finish_previous",
        # The terminal belongs to the training; what W&B has to say, we say.
        settings=wandb.Settings(silent=True, console="off"),
    )


def _media(path: Path) -> wandb.Video | wandb.Object3D | None:
    if path.suffix == ".mp4":
        return wandb.Video(str(path), format="mp4")
    return wandb.Object3D(str(path)) if path.suffix == ".glb" else None


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree by their path, those that say nothing left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}/")
        elif value is not None:
            yield f"{above}{name}", value


def _say_how_to_sync(directory: RunDirectory) -> None:
    _log.info("Logged offline. Upload it with: wandb sync '%s'/wandb/offline-run-*", directory.root)
