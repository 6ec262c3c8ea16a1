"""Making the batch of the next step while this one is trained on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from framework.core.step import StepInfo

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """Batches by step or micro-step, one ahead on another thread.

    Args:
        make: The batch of a step, a pure function of it.
    """

    def __init__(self, make: Callable[[StepInfo], Batch]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._next: tuple[StepInfo, Future[Batch]] | None = None

    def take(self, step: StepInfo) -> Batch:
        """The batch of `step`."""
        if self._next is not None and self._next[0] == step:
            batch = self._next[1].result()
        else:
            batch = self._make(step)
        following = step.following()
        self._next = (following, self._pool.submit(self._make, following))
        return batch
