"""Between two training steps: what watchers see, and what they have asked for.

All of it happens in the training's own thread and draws from no random generator that training draws from, so a run that
was watched ends as one that was not, bit for bit, unless weights were set by hand.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch

from framework.core.errors import UserError
from framework.core.step import StepInfo
from framework.systems.callbacks import GentleStop, Records
from framework.systems.lightning import Shell
from framework.systems.watching import Watched
from framework.systems.weight_edits import check_range
from framework.viewer.pace import FULL, Pace
from framework.viewer.panel import MESH, Panel
from framework.viewer.pictures import draw
from framework.viewer.requests import Button, Request, SetWeights
from framework.viewer.surface import coloured_surface
from framework.viewer.window import Shown, Watcher, Window

_REPORT_EVERY = 1.0  # seconds
_LOOK_EVERY = 0.02  # seconds, in a pause
_log = logging.getLogger(__name__)


class LiveView(pl.Callback):
    """Lets a training be watched through a window, and obeys what is asked for there.

    Args:
        window: Where watchers come in.
        records: Saves checkpoints.
        stop: Ends a pause when the process is asked to end.
        name_files: Tells the user of files that were exported.
    """

    def __init__(
        self, window: Window, records: Records, stop: GentleStop, *, name_files: Callable[[list[Any]], None]
    ) -> None:
        self.window, self.records, self.stop, self.name_files = window, records, stop, name_files
        self.pace = Pace()
        self._has_failed = False
        self._mesh: tuple[str, int] | None = None
        self._report_due = 0.0
        self._steps_per_second = 0.0

    def on_train_start(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        assert isinstance(shell, Shell)
        watched = shell.system.watched()
        assert watched is not None, "the command line has checked it"
        self.watched: Watched = watched
        self.panel: Panel = self.window.begin(f"{shell.run.prompt} ({shell.directory.root.name})", watched)
        self._step_began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, shell: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(shell, Shell)
        if self._has_failed:
            return
        self._note_step()
        try:
            self._attend(shell)
            while self.pace.is_paused and not self.stop.is_requested:
                self.window.wait(_LOOK_EVERY)
                self._attend(shell)
        except Exception as error:  # Whatever a browser sends is not worth the training.
            self._has_failed, self.pace.is_paused = True, False
            _log.warning("The viewer failed (%s: %s). The run goes on without it.", type(error).__name__, error)
            _log.debug("The cause in full:", exc_info=True)
        self._step_began = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        assert isinstance(shell, Shell)
        self.panel.finish(f"Step {shell.steps_done:,}: training is done.")

    def _note_step(self) -> None:
        seconds = time.perf_counter() - self._step_began
        rate = 1.0 / max(seconds, 1e-9)
        self._steps_per_second = 0.9 * self._steps_per_second + 0.1 * rate if self._steps_per_second else rate
        if self.window.watchers:
            self.pace.trained(seconds)
        else:
            self.pace.rest()

    def _attend(self, shell: Shell) -> None:
        """Do what was asked for, and the most urgent of what there is to show."""
        for request in self.window.requests():
            self._grant(request, shell)
        watchers = self.window.watchers
        if not watchers:
            return
        try:
            if self.panel.kind == MESH:
                self._show_mesh(watchers, shell)
            else:
                self._show_picture(watchers, shell)
        except UserError as error:  # A surface that has vanished, perhaps; training will say so itself.
            self._report(shell, str(error))
        if time.perf_counter() >= self._report_due:
            self._report(shell)

    def _show_picture(self, watchers: list[Watcher], shell: Shell) -> None:
        if self._mesh is not None:
            self.window.show_mesh(None)
            self._mesh = None
        subject, now = (self.panel.kind, self.panel.scene), time.perf_counter()
        for watcher in sorted(watchers, key=lambda item: item.waits_since):
            size = self.pace.choose(subject[0], watcher.sight(subject, shell.steps_done, now=now), now=now)
            if size is not None:
                self._draw(watcher, subject, size, shell)
                return

    def _draw(self, watcher: Watcher, subject: tuple[str, str], size: int, shell: Shell) -> None:
        began, pose = time.perf_counter(), watcher.pose
        assert pose is not None
        kind, scene = subject
        cameras = pose.camera(size, shell.system.device)
        step = shell.step_info("validate")
        picture = draw(kind, cameras, self.watched.scenes[scene], self.watched.renderer, step)
        watcher.show(picture, Shown(pose, subject, size, shell.steps_done))
        now = time.perf_counter()
        self.pace.drew(kind, size, now - began, now=now)

    def _show_mesh(self, watchers: list[Watcher], shell: Shell) -> None:
        scene, step = self.panel.scene, shell.steps_done
        for watcher in watchers:
            watcher.show_nothing()
        is_new = self._mesh is None or self._mesh[0] != scene
        if not is_new and (self._mesh == (scene, step) or not self.pace.can_afford(MESH, FULL)):
            return
        began = time.perf_counter()
        self._mesh = (scene, step)
        mesh = coloured_surface(self.watched.scenes[scene], self.watched.renderer, shell.step_info("validate"))
        self.window.show_mesh(mesh)
        now = time.perf_counter()
        self.pace.drew(MESH, FULL, now - began, now=now)

    def _report(self, shell: Shell, trouble: str = "") -> None:
        """Refresh status, weights and cameras."""
        began = time.perf_counter()
        step = shell.step_info()
        speed = "paused" if self.pace.is_paused else f"{self._steps_per_second:.1f} steps/s"
        status = trouble or f"Step {step.step:,} of {step.max_steps:,}, {speed}"
        edits = shell.system.edits
        weights = {path: edits.weight(path, schedule, step) for path, schedule in self.watched.weights.items()}
        self.panel.report(status, weights, is_paused=self.pace.is_paused)
        self.window.show_cameras(self._last_batch(step, shell.system.device) if self.panel.shows_cameras else {})
        now = time.perf_counter()
        self._report_due = now + _REPORT_EVERY
        self.pace.spent(now - began)

    def _last_batch(self, step: StepInfo, device: torch.device) -> dict[str, Any]:
        """The views of the step before, which streams can tell again."""
        last = dataclasses.replace(step, step=max(0, step.step - 1))
        return {
            name: stream.sample(last, device) for name, stream in self.watched.streams.items() if stream.is_due(last)
        }

    def _grant(self, request: Request, shell: Shell) -> None:
        match request:
            case SetWeights(values):
                self._attempt("Weights", lambda: self._set_weights(values, shell))
            case Button.PAUSE | Button.RESUME:
                self._pause(shell, is_paused=request is Button.PAUSE)
            case Button.CHECKPOINT:
                self._attempt("Checkpoint", lambda: self._save(shell))
            case Button.EXPORT:
                self.window.tell("Export", "Exporting; training waits.")
                self._attempt("Export", lambda: self._export(shell))
        self._report_due = 0.0

    def _attempt(self, title: str, do: Callable[[], str]) -> None:
        """Do something and tell the watchers what came of it."""
        try:
            text = do()
        except (UserError, OSError, torch.OutOfMemoryError) as error:
            self.window.tell(title, str(error), is_bad=True)
            _log.warning("%s, asked for in the viewer: %s", title, error)
        else:
            self.window.tell(title, text)

    def _pause(self, shell: Shell, *, is_paused: bool) -> None:
        if is_paused == self.pace.is_paused:
            return
        self.pace.is_paused = is_paused
        if is_paused:
            _log.info("step %d: paused in the viewer; go on there, or press Ctrl-C to stop and save.", shell.steps_done)
        else:
            _log.info("step %d: going on.", shell.steps_done)

    def _set_weights(self, values: Any, shell: Shell) -> str:
        for path, value in values.items():
            if value is not None:
                check_range(path, value, self.watched.weights[path])
        edits = shell.system.edits
        for path, value in values.items():
            if value is not None or edits.by_hand(path, shell.step_info()) is not None:
                shell.edit_weight(path, value)
        return f"From step {shell.steps_done} on."

    def _save(self, shell: Shell) -> str:
        self.records.save(shell)
        path = shell.directory.checkpoint(shell.steps_done)
        if not path.is_file():
            raise UserError("The disk is full; training goes on without a checkpoint.")
        return str(path)

    def _export(self, shell: Shell) -> str:
        folder = shell.directory.exported_at(shell.steps_done)
        paths = shell.system.export(folder, shell.step_info("export"))
        self.name_files(paths)
        return str(folder) if paths else "This run's config exports nothing (export: null)."
