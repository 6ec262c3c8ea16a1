"""Dashboards: where a run shows its numbers, pictures and results while it goes on.

Training hands over what there is to show and goes on at once: one background thread encodes and writes, in order. Its queue
is bounded, so that slow dashboards slow the training down rather than fill the memory, and it is emptied before the end.
A dashboard that fails is a warning, never the run's failure; one that finds the disk full is tried again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.systems.full_disk import Writes

STEP = "trainer/step"
"""The one axis of all that is logged: training steps, which a resumed run continues."""
WANDB_NOTE = "wandb"
"""Where `run.json` notes the identity of a run at Weights & Biases."""
_CAPACITY = 64
_log = logging.getLogger(__name__)


class Dashboard:
    """Shows a run somewhere, by the methods that it overrides: by itself it shows nothing.

    They are called by one thread, and may raise whatever they like.
    """

    title: ClassVar[str]
    """What users know it as."""

    def __init__(self, config: RunConfig, directory: RunDirectory, *, start_step: int) -> None:
        """Continue what is there of the run up to `start_step`."""

    def scalars(self, step: int, values: Mapping[str, float], *, at: float) -> None:
        """Show numbers by name, which were logged `at` that time in seconds since 1970."""

    def image(self, step: int, name: str, image: Float[Tensor, "H W 3"]) -> None:
        """Show a picture in [0, 1]."""

    def exported(self, step: int, paths: Sequence[Path]) -> None:
        """Show what the run was for, as far as it can be shown: turntable, mesh."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Show what is said of the run as a whole: time, memory, how it ended."""

    def close(self, *, has_failed: bool) -> None:
        """Finish writing."""


class Dashboards:
    """All dashboards of a run, served in the background.

    Attributes:
        writes: How files are written where the disk may be full.
    """

    def __init__(self, dashboards: Sequence[Dashboard], writes: Writes) -> None:
        self.writes = writes
        self._open = list(dashboards)
        self._queue: queue.Queue[Callable[[Dashboard], None] | None] = queue.Queue(_CAPACITY)
        self._thread = threading.Thread(target=self._serve, name="dashboards", daemon=True)
        self._thread.start()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers by name."""
        at = time.time()
        self._queue.put(lambda dashboard: dashboard.scalars(step, values, at=at))

    def image(self, step: int, name: str, image: Float[Tensor, "H W 3"]) -> None:
        """Show a picture in [0, 1], which must not change any more."""
        shown = image.detach().to("cpu", torch.float32)
        self._queue.put(lambda dashboard: dashboard.image(step, name, shown))

    def exported(self, step: int, paths: Sequence[Path]) -> None:
        """Show what the run was for."""
        self._queue.put(lambda dashboard: dashboard.exported(step, paths))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Show what is said of the run as a whole."""
        self._queue.put(lambda dashboard: dashboard.summary(values))

    def close(self, *, has_failed: bool = False) -> None:
        """Wait until everything is shown, and finish."""
        self._queue.put(lambda dashboard: dashboard.close(has_failed=has_failed))
        self._queue.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (show := self._queue.get()) is not None:
            for dashboard in list(self._open):
                self._attempt(dashboard, show)

    def _attempt(self, dashboard: Dashboard, show: Callable[[Dashboard], None]) -> None:
        try:
            self.writes.attempt(lambda: show(dashboard), dashboard.title)
        except Exception as error:  # Foreign services fail in many ways, none of which is worth the training.
            self._open.remove(dashboard)
            warn(dashboard.title, error)


def warn(title: str, error: Exception) -> None:
    """Say that a dashboard has failed, and why."""
    _log.warning("%s failed (%s: %s). The run goes on without it.", title, type(error).__name__, cause(error))
    _log.debug("The cause in full:", exc_info=True)


def cause(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()).rstrip(".") or "no message"
