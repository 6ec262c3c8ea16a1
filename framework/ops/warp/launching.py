"""Launching Warp kernels on torch tensors.

A Warp launch on a CPU runs on the calling thread. Here it is cut into as many consecutive parts as torch has threads,
which is safe for kernels of which each output is written from one part only. By convention the first argument of every
kernel is the index of the part's first item, to which it adds `wp.tid()`.

Kernels carry `@no_type_check`: their annotations are Warp's, which neither mypy nor runtime shape checks understand.
Their modules switch Warp's own adjoints off; gradients are kernels written by hand. Atomic additions on a CPU are plain
ones, in the order of the items, so that results there are the same in every run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import warp as wp
from torch import Tensor

_WORK_WORTH_A_THREAD = 4096


def launch(
    kernel: Any,
    num_items: int,
    arguments: Sequence[Any],
    *,
    device: torch.device,
    parts: int | None = None,
    work_per_item: int = 1,
) -> None:
    """Run `kernel` for the items 0 to `num_items`: cut over threads on a CPU, on torch's current stream on CUDA.

    Args:
        kernel: Takes the index of the first item, then `arguments`.
        arguments: Contiguous tensors on `device`, or what Warp itself takes.
        parts: Equal parts that a CPU launch is cut into; as is worthwhile if None.
        work_per_item: Rough number of inner iterations of an item, which says when cutting is worthwhile.
    """
    if num_items == 0:
        return
    prepare(kernel, device)
    values = [array(value) if isinstance(value, Tensor) else value for value in arguments]
    if device.type == "cuda":
        stream = torch_stream(device)
        wp.launch(kernel, dim=num_items, inputs=[0, *values], device=stream.device, stream=stream, record_tape=False)
        return

    def run(first: int, last: int) -> None:
        wp.launch(kernel, dim=last - first, inputs=[first, *values], device="cpu", record_tape=False)

    worthwhile = 1 + num_items * work_per_item // _WORK_WORTH_A_THREAD
    parts = min(num_threads(), num_items, worthwhile) if parts is None else parts
    borders = [num_items * part // parts for part in range(parts + 1)]
    others = [_pool(os.getpid(), parts - 1).submit(run, *borders[part : part + 2]) for part in range(1, parts)]
    try:
        run(borders[0], borders[1])
    finally:
        wait(others)  # whatever happens here, the tensors must live until nobody writes to them
    for other in others:
        other.result()


def array(tensor: Tensor, dtype: Any = None) -> Any:
    """What a kernel takes for a tensor, whose trailing dimension becomes a Warp vector where `dtype` is one."""
    return wp.from_torch(tensor, dtype=dtype, requires_grad=False, return_ctype=True)


def prepare(kernel: Any, device: torch.device) -> None:
    """Compile the kernel's module, or read it from the cache, before several threads would want to at once."""
    _prepare(kernel, str(device))


def torch_stream(device: torch.device) -> Any:
    """Torch's current stream on a CUDA device, for Warp: only there does work follow what torch has queued."""
    return wp.stream_from_torch(torch.cuda.current_stream(device))


def num_threads() -> int:
    """Threads that CPU launches are cut over."""
    return torch.get_num_threads()


def sees_cuda() -> bool:
    """Whether Warp finds a CUDA device; it may need a newer driver than torch does."""
    initialize()
    return bool(wp.is_cuda_available())


@cache
def initialize() -> None:
    """Start Warp without its greeting, with a kernel cache that can be written."""
    wp.config.log_level = wp.LOG_WARNING
    with _no_driver_notice():
        try:
            wp.init()
        except OSError:  # the user's cache folder cannot be made
            wp.config.kernel_cache_dir = tempfile.mkdtemp(prefix="warp-")
            wp.init()
    if not os.access(str(wp.config.kernel_cache_dir), os.W_OK):
        wp.config.kernel_cache_dir = tempfile.mkdtemp(prefix="warp-")


@cache
def _prepare(kernel: Any, device: str) -> None:
    initialize()
    wp.load_module(kernel.module, device=device)


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Threads kept between launches; `process` is part of the key, because a fork does not inherit its threads."""
    return ThreadPoolExecutor(workers, thread_name_prefix="warp")


@contextmanager
def _no_driver_notice() -> Iterator[None]:
    """On machines without CUDA, keeps Warp's native library from writing to stderr that it found no driver."""
    if torch.cuda.is_available():
        yield
        return
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
