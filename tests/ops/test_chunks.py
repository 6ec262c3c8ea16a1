"""Work in pieces that shrink where the memory does not suffice."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from framework.ops.chunks import in_chunks

ON_A_CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
)


class Memory:
    """Does what is asked of it, unless that is more than `most` items at once."""

    def __init__(self, most: int, error: RuntimeError | None = None) -> None:
        self.most, self.error = most, error or torch.OutOfMemoryError("CUDA out of memory.")
        self.sizes: list[int] = []

    def __call__(self, part: slice) -> list[int]:
        self.sizes.append(part.stop - part.start)
        if self.sizes[-1] > self.most:
            raise self.error
        return list(range(part.start, part.stop))


def test_pieces_cover_every_item_once() -> None:
    memory = Memory(100)
    assert list(chain(*in_chunks(memory, 11, size=4, what="rays"))) == list(range(11))
    assert memory.sizes == [4, 4, 3]
    assert in_chunks(memory, 0, size=4, what="rays") == [[]]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(ON_A_CPU)])
def test_a_piece_that_is_too_large_is_done_again_in_halves(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(3, error)
    assert list(chain(*in_chunks(memory, 20, size=16, what="rays"))) == list(range(20))
    assert memory.sizes == [16, 8, 4, *[2] * 10]
    assert [record.message for record in caplog.records][-1] == "Out of memory: going on with 2 rays at once."


def test_a_size_beyond_the_items_is_halved_from_their_number() -> None:
    memory = Memory(3)
    assert list(chain(*in_chunks(memory, 6, size=1 << 20, what="rays"))) == list(range(6))
    assert memory.sizes == [6, 3, 3]


def test_what_does_not_fit_at_all_and_other_errors_are_raised() -> None:
    memory = Memory(0)
    with pytest.raises(torch.OutOfMemoryError):
        in_chunks(memory, 4, size=4, what="rays")
    assert memory.sizes == [4, 2, 1]
    other = Memory(0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        in_chunks(other, 4, size=4, what="rays")
    assert other.sizes == [4]
