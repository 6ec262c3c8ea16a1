"""The processes that train one run together, and what they tell each other.

Each has a number, its rank; the first one alone writes files. As torch's own process group, of which there is one in a
process, the group is joined once and known everywhere; without one, a process is the first and only rank, and everything
here returns at once. All ranks must call what needs the others equally often and in the same order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from framework.core.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")

_FAILURE, _DONE, _LEFT = "failure", "done", "left/"  # keys of the store
_PATIENCE = timedelta(seconds=5)
_LONGEST_EXPORT = timedelta(days=2)
_NO_WORD = "another process of this run has ended without a word, as if it had been killed"


class RankLost(UserError):
    """Another process of the run has ended, so that this one cannot go on."""


@dataclass(frozen=True)
class Group:
    """The processes that train together.

    Attributes:
        rank: Number of this one.
        count: Number of all.
        local_rank: Number of this one among those on this machine.
        store: What all can read and write, kept by the first.
    """

    rank: int
    count: int
    local_rank: int
    store: Any


_group: Group | None = None


def join(number: int, of: int, *, local: int, device: torch.device) -> None:
    """Become rank `number` of a group that is found by the environment (MASTER_ADDR and MASTER_PORT).

    Args:
        number: Rank of this process.
        of: Number of all.
        local: Number among those on this machine.
        device: Where its tensors live.
    """
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    global _group
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, number, of = next(rendezvous("env://", number, of))
    # What is no tensor of the device, and flags, go by the CPU and need not wait for it.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=number, world_size=of)
    _group = Group(number, of, local, store)


def leave(*, failure: str | None = None) -> None:
    """Leave the group: the others wait for the first, unless something has failed.

    Args:
        failure: Why this process ends before its time; the first one tells the user.
    """
    from torch import distributed

    global _group
    group, _group = _group, None
    if group is None:
        return
    with contextlib.suppress(Exception):  # Whoever is gone need not be told.
        if failure is not None and group.rank > 0:
            group.store.set(_FAILURE, f"rank {group.rank}: {failure}")
        elif group.rank > 0:
            group.store.wait([_DONE], _LONGEST_EXPORT)
            group.store.set(f"{_LEFT}{group.rank}", "")
        else:
            group.store.set(_DONE, "")
            if failure is None:
                group.store.wait([f"{_LEFT}{number}" for number in range(1, group.count)], _PATIENCE)
    if failure is None:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return 0 if _group is None else _group.rank


def count() -> int:
    """Number of processes that train together."""
    return 1 if _group is None else _group.count


def local_rank() -> int:
    """Number of this process among those on this machine."""
    return 0 if _group is None else _group.local_rank


def is_first() -> bool:
    """Whether this is the process that writes and tells."""
    return rank() == 0


def average(tensors: Sequence[Tensor]) -> None:
    """Set each tensor to its mean over all ranks; kinds and shapes must agree.

    Raises:
        RankLost: If a process has ended, as of everything below.
    """
    from torch import distributed

    if _group is None:
        return
    for _, kind in groupby(tensors, key=lambda tensor: (tensor.dtype, tensor.device)):
        alike = list(kind)
        flat = _flat(alike)
        with _listening():
            distributed.all_reduce(flat)
        _spread(flat / _group.count, alike)


def share(tensors: Sequence[Tensor]) -> None:
    """Set each tensor to what it is at the first rank."""
    from torch import distributed

    if _group is not None:
        with _listening():
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)


def joined(rows: Tensor) -> Tensor:
    """The rows of all ranks, in their order; each has equally many."""
    import torch
    from torch import distributed

    if _group is None:
        return rows
    parts = [torch.empty_like(rows) for _ in range(_group.count)]
    with _listening():
        distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def largest(values: Sequence[float | int]) -> list[float]:
    """The largest of each of the numbers over all ranks."""
    import torch
    from torch import distributed

    if _group is None:
        return [float(value) for value in values]
    found = torch.tensor(values, dtype=torch.float64)
    with _listening():
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.tolist()


def gather(item: T) -> list[T]:
    """The items of all ranks, in their order; plain values or tensors on the CPU."""
    from torch import distributed

    if _group is None:
        return [item]
    items: list[Any] = [None] * _group.count
    with _listening():
        distributed.all_gather_object(items, item)
    return items


def gather_at_first(item: T) -> list[T]:
    """The items of all ranks at the first one; nothing at the others."""
    from torch import distributed

    if _group is None:
        return [item]
    items: list[Any] = [None] * (_group.count if _group.rank == 0 else 0)
    with _listening():
        distributed.gather_object(item, items if _group.rank == 0 else None)
    return items


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns at the first rank, where alone it is called; if it raises there, the others are lost."""
    from torch import distributed

    if _group is None:
        return make()
    items = [make() if _group.rank == 0 else None]
    with _listening():
        distributed.broadcast_object_list(items, 0)
    return items[0]  # type: ignore[return-value]


def wait() -> None:
    """Return when all ranks have come here."""
    largest([0.0])


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    import torch

    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(part.view_as(tensor))


@contextlib.contextmanager
def _listening() -> Iterator[None]:
    """Turns what torch says of a connection that has broken into what the other process has said before it ended."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(f"{_last_words()}.") from error


def _last_words() -> str:
    assert _group is not None
    if _group.rank > 0:
        return _NO_WORD
    try:
        _group.store.wait([_FAILURE], _PATIENCE)
        return str(_group.store.get(_FAILURE).decode()).rstrip(".")
    except Exception:  # Nothing was said.
        return _NO_WORD
