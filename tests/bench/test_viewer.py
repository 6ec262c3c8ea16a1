"""How the cost of being watched is computed."""

from __future__ import annotations

import pytest

from framework.bench.rows import BenchError
from framework.bench.viewer import _speed
from framework.bench.watcher import _looking_inwards, _messages


def test_speed_counts_the_steps_within_spans_that_lie_within_the_training() -> None:
    times = [0.1 * number for number in range(101)]
    assert _speed(times, [(1.05, 2.05)]) == pytest.approx(10.0)
    assert _speed(times, [(1.05, 2.05), (9.0, 12.0), (-1.0, 1.0)]) == pytest.approx(10.0)
    with pytest.raises(BenchError, match="too short"):
        _speed(times, [(9.0, 12.0)])


def test_a_watcher_looks_from_its_azimuth_to_the_origin() -> None:
    transforms = pytest.importorskip("viser.transforms")
    import numpy as np
    import torch

    from framework.structures.cameras import Cameras

    pose = transforms.SO3(np.array(_looking_inwards(0.7, 0.26))).as_matrix() * [1.0, -1.0, -1.0]
    one = torch.tensor([1.0])
    expected = Cameras.orbit(0.7 * one, 0.26 * one, one, one, height=4, width=4).camera_to_world[0, :3, :3]
    assert np.allclose(pose, expected.numpy(), atol=1e-6)


def test_messages_are_read_from_what_viser_packs() -> None:
    msgspec, zstandard = pytest.importorskip("msgspec"), pytest.importorskip("zstandard")
    inner = msgspec.msgpack.encode({"messages": [{"type": "A", "data": b"\x00\xff"}], "timestampSec": 1.0})
    packed = zstandard.ZstdCompressor().compress(inner)
    content = len(inner).to_bytes(8, "little") + len(packed).to_bytes(8, "little") + packed + b"\x00" * 24
    assert _messages(content) == [{"type": "A", "data": b"\x00\xff"}]
