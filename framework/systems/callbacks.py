"""What happens around training steps: the progress bar, metrics, checkpoints, pictures, a gentle stop."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from framework.core import ranks, slurm
from framework.core.errors import Interrupted
from framework.core.peaks import Peaks
from framework.core.run_directory import RunDirectory
from framework.systems.dashboards import Dashboards
from framework.systems.full_disk import DiskFull
from framework.systems.lightning import Shell


class _Speed(ProgressColumn):
    """Steps a second, averaged over the last moments."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("- steps/s" if speed is None else f"{speed:.1f} steps/s", style="cyan")


class StepProgress(pl.Callback):
    """A bar with steps/s and the time left; plain lines now and then where there is no terminal."""

    def __init__(self, console: Console, *, seconds_between_lines: float = 20.0) -> None:
        self.console = console
        self.seconds_between_lines = seconds_between_lines
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        self.progress = Progress(*columns, TextColumn("left  {task.fields[note]}"), console=console)

    def on_train_start(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        assert isinstance(shell, Shell)
        self.total = shell.run.trainer.max_steps
        self.task = self.progress.add_task("training", total=self.total, completed=shell.steps_done, note="")
        self.last_line = time.monotonic()
        self.last_step = shell.steps_done
        if self.console.is_terminal:
            self.progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, shell: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(shell, Shell)
        self.progress.update(self.task, completed=shell.steps_done, note=_note(shell.logs))
        now = time.monotonic()
        if not self.console.is_terminal and now - self.last_line >= self.seconds_between_lines:
            speed = (shell.steps_done - self.last_step) / (now - self.last_line)
            left = (self.total - shell.steps_done) / max(speed, 1e-9)
            self.console.print(
                f"step {shell.steps_done}/{self.total}  {speed:.1f} steps/s  {left:.0f} s left  {_note(shell.logs)}"
            )
            self.last_line, self.last_step = now, shell.steps_done

    def on_train_end(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, shell: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.console.is_terminal:
            self.progress.stop()


def _note(logs: dict[str, float]) -> str:
    """The gradient norm of the guidance, whose loss value means nothing, or else the loss; and steps that were skipped."""
    norms = [value for name, value in logs.items() if name.endswith("/gradient_norm")]
    if norms:
        note = f"gradient norm {norms[0]:.3g}"
    else:
        note = f"loss {logs['loss/total']:.4g}" if "loss/total" in logs else ""
    return f"{note}  {logs['skipped_steps']:.0f} steps skipped" if "skipped_steps" in logs else note


class Records(pl.Callback):
    """Metrics and pictures to the dashboards, and checkpoints, each at its interval and at the end, by the first rank."""

    def __init__(self, directory: RunDirectory, dashboards: Dashboards, peaks: Peaks) -> None:
        self.directory = directory
        self.dashboards = dashboards
        self.peaks = peaks
        self.writes = dashboards.writes
        self.is_first = ranks.is_first()

    def on_train_start(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        self.saved_step = self.drawn_step = -1

    def on_train_batch_end(
        self, trainer: pl.Trainer, shell: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(shell, Shell)
        settings, step = shell.run.trainer, shell.steps_done
        is_drawn = settings.validate_every > 0 and step % settings.validate_every == 0
        is_saved = step % settings.checkpoint_every == 0
        if is_drawn or is_saved:
            shell.shares.bring_together()
        if not self.is_first:
            return
        if step % settings.log_every == 0 or step == 1:
            self.dashboards.scalars(step, shell.logs)
        if is_drawn:
            self.draw(shell)
        if is_saved:
            self.save(shell)

    def on_train_end(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        assert isinstance(shell, Shell)
        shell.shares.bring_together()
        if self.is_first:
            self.save(shell, is_last=True)
            self.draw(shell)

    def save(self, shell: Shell, *, is_last: bool = False) -> None:
        """Write a checkpoint, once per step.

        Raises:
            DiskFull: If there has been no room for too long, or not for the last one.
        """
        if self.saved_step == shell.steps_done:
            return
        what = f"the checkpoint of step {shell.steps_done}"
        if self.writes.attempt_checkpoint(lambda: self._save(shell), what):
            self.saved_step = shell.steps_done
        elif is_last:
            kept = [path.name for path in self.directory.checkpoints()]
            raise DiskFull(
                f"The disk is full: {what}, the last one, could not be written. Kept: {', '.join(kept) or 'none'}."
            )

    def _save(self, shell: Shell) -> None:
        shell.save()
        self.directory.set_state("running", step=shell.steps_done)

    def draw(self, shell: Shell) -> None:
        """Show the system's pictures, once per step."""
        if self.drawn_step == shell.steps_done:
            return
        self.drawn_step = shell.steps_done
        with torch.no_grad(), self.peaks.phase("pictures"):
            pictures = shell.system.images(shell.step_info("validate"))
        for name, image in pictures.items():
            self.dashboards.image(shell.steps_done, name, image)


class GentleStop(pl.Callback):
    """Ctrl-C and SIGTERM finish the step, save and write pictures, as does SLURM's signal that a job's time is nearly up; a
    second Ctrl-C quits at once.

    Attributes:
        stopped_by: The signal that ended the training, or None.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stopped_by: signal.Signals | None = None
        self._requests: list[signal.Signals] = []
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def is_requested(self) -> bool:
        """Whether the training is to end after this step."""
        return bool(self._requests)

    def on_train_start(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            # In place of Lightning's own handlers, which save in the middle of a step.
            for number in (signal.SIGINT, signal.SIGTERM, *([] if slurm.job() is None else [slurm.SIGNAL])):
                self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        request = signal.Signals(number)
        if request is slurm.SIGNAL:
            self.console.print("Stopping after this step: the job's time is nearly up.")
        elif request is signal.SIGTERM:  # A scheduler may send it several times, and kills when its patience is spent.
            self.console.print("Stopping after this step: the process was asked to end.")
        elif signal.SIGINT in self._requests:
            raise Interrupted
        else:
            self.console.print("Stopping after this step; press Ctrl-C again to quit at once.")
        self._requests.append(request)

    def on_train_batch_end(
        self, trainer: pl.Trainer, shell: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._agree()
        if self.stopped_by is not None:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, shell: pl.LightningModule) -> None:
        self._agree()
        self._restore()

    def on_exception(self, trainer: pl.Trainer, shell: pl.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _agree(self) -> None:
        """All ranks stop after the same step, whichever was asked to."""
        asked = int(ranks.largest([self._requests[0] if self._requests else 0])[0])
        self.stopped_by = signal.Signals(asked) if asked else None

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
