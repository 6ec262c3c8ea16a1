"""What training hands over is shown in order, in the background, whatever one of the dashboards does."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from framework.systems.dashboards import Dashboard, Dashboards
from framework.systems.full_disk import Writes


class Notebook(Dashboard):
    """Notes what it is shown, after `before` has been called."""

    title = "The notebook"

    def __init__(self, before: Callable[[int], object] = lambda step: None) -> None:
        self.before = before
        self.steps: list[int] = []
        self.images: list[Tensor] = []
        self.threads: set[threading.Thread] = set()
        self.has_failed: bool | None = None

    def scalars(self, step: int, values: Mapping[str, float], *, at: float) -> None:
        self.before(step)
        self.threads.add(threading.current_thread())
        self.steps.append(step)

    def image(self, step: int, name: str, image: Tensor) -> None:
        self.images.append(image)

    def close(self, *, has_failed: bool) -> None:
        self.has_failed = has_failed


def serve(*dashboards: Dashboard) -> Dashboards:
    return Dashboards(dashboards, Writes(max_missed_checkpoints=0))


def test_everything_is_shown_in_order_by_one_other_thread_before_the_end() -> None:
    notebook = Notebook()
    dashboards = serve(notebook)
    for step in range(300):
        dashboards.scalars(step, {})
    dashboards.close(has_failed=True)
    assert notebook.steps == list(range(300)) and notebook.has_failed is True
    assert len(notebook.threads) == 1 and threading.current_thread() not in notebook.threads


def test_a_slow_dashboard_holds_up_the_training_only_when_much_is_waiting() -> None:
    may_go_on, most = threading.Event(), 200
    notebook = Notebook(lambda step: may_go_on.wait())
    dashboards = serve(notebook)
    handed_over: list[int] = []

    def train() -> None:
        for step in range(most):
            dashboards.scalars(step, {})
            handed_over.append(step)

    training = threading.Thread(target=train)
    training.start()
    training.join(timeout=0.5)
    waiting = len(handed_over)
    may_go_on.set()
    training.join()
    dashboards.close()
    assert 10 < waiting < most
    assert notebook.steps == list(range(most))


def test_a_dashboard_that_fails_is_one_warning_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def fail(step: int) -> None:
        if step >= 2:
            raise ConnectionError("the service is\ngone.")

    failing, whole = Notebook(fail), Notebook()
    dashboards = serve(failing, whole)
    for step in range(5):
        dashboards.scalars(step, {})
    dashboards.close()
    assert failing.steps == [0, 1] and whole.steps == [0, 1, 2, 3, 4]
    message = "The notebook failed (ConnectionError: the service is gone). The run goes on without it."
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [message]


def test_a_dashboard_that_finds_the_disk_full_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    def fill(step: int) -> None:
        if step in (1, 2):
            raise OSError(errno.ENOSPC, "No space left on device")

    notebook = Notebook(fill)
    dashboards = serve(notebook)
    for step in range(5):
        dashboards.scalars(step, {})
    dashboards.close()
    assert notebook.steps == [0, 3, 4]
    assert [record.message for record in caplog.records] == [
        "The disk is full: The notebook cannot be written (No space left on device). Training goes on.",
        "There is room on the disk again: The notebook is written.",
    ]


def test_a_picture_is_handed_over_without_what_it_was_computed_by() -> None:
    notebook = Notebook()
    dashboards = serve(notebook)
    dashboards.image(1, "views", torch.full((2, 3, 3), 0.5, dtype=torch.float64, requires_grad=True) * 2.0)
    dashboards.close()
    (image,) = notebook.images
    assert image.dtype == torch.float32 and not image.requires_grad and torch.equal(image, torch.ones(2, 3, 3))
