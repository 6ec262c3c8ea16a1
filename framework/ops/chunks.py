"""Work in pieces, and in smaller ones where the memory does not suffice for a piece."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

_log = logging.getLogger(__name__)


def in_chunks(work: Callable[[slice], T], count: int, *, size: int, what: str) -> list[T]:
    """What `work` returns for the items from 0 to `count`, in pieces of `size`; one empty piece if there are none.

    A piece that runs out of memory is begun again in halves, and so are all after it.

    Args:
        work: Called with the numbers of the items of a piece; what it changes it must be able to change twice.
        count: Number of all items.
        size: Of a piece at first.
        what: The items, in the plural.

    Raises:
        torch.OutOfMemoryError: If a single item is too many.
    """
    results: list[T] = []
    first = 0
    while first < count or not results:
        try:
            results.append(work(slice(first, min(first + size, count))))
        except RuntimeError as error:
            if not is_out_of_memory(error) or size <= 1:
                raise
        else:
            first += size
            continue
        # Only here, where the error is gone and with it what it held.
        size = max(1, min(size, count) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _log.warning("Out of memory: going on with %d %s at once.", size, what)
    return results


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch has found too little memory, on a CUDA device or on the CPU, for which it has no error of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
