"""Radiance pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from framework.core.errors import UserError
from framework.materials.radiance_hdr import read_hdr

HEADER = b"#?RADIANCE\n# made by a test\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n"


def pixels(height: int, width: int) -> np.ndarray:
    """RGBE bytes with runs and without."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (height, width, 4), dtype=np.uint8)
    image[:, width // 4 : width // 2] = (128, 64, 32, 129)
    image[..., 3] = np.clip(image[..., 3], 120, 136)
    return image


def run_lengths(channel: np.ndarray) -> bytes:
    """A row of one channel: runs of three or more equal bytes, else literals."""
    data, start = b"", 0
    while start < len(channel):
        end = start + 1
        while end < len(channel) and channel[end] == channel[start] and end - start < 127:
            end += 1
        if end - start >= 3:
            data += bytes([128 + end - start, channel[start]])
        else:
            end = start + 1
            data += bytes([1, channel[start]])
        start = end
    return data


def encoded(image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    rows = (bytes([2, 2, width >> 8, width & 255]) + b"".join(run_lengths(c) for c in row.T) for row in image)
    return HEADER % (height, width) + b"".join(rows)


def expected(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image[..., :3] / 256.0 * 2.0 ** (image[..., 3:].astype(float) - 128.0)).float()


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_picture_is_read_back_as_it_was_written(tmp_path: Path, is_packed: bool) -> None:
    image = pixels(5, 300)
    path = tmp_path / "sky.hdr"
    path.write_bytes(encoded(image) if is_packed else HEADER % (5, 300) + image.tobytes())
    assert torch.allclose(read_hdr(path), expected(image), rtol=1e-6)


def test_a_pixel_without_exponent_is_black(tmp_path: Path) -> None:
    path = tmp_path / "black.hdr"
    path.write_bytes(HEADER % (1, 2) + bytes([255, 255, 255, 0, 128, 64, 0, 129]))
    assert read_hdr(path).tolist() == [[[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"GIF89a" + data, "does not begin with a Radiance header"),
        (lambda data: data.replace(b"rgbe", b"xyze"), "does not name the format"),
        (lambda data: data.replace(b"-Y", b"+Y"), "not stored from the top row down"),
        (lambda data: data[:-40], "not a readable Radiance picture"),
        (lambda data: data.replace(b"\x02\x02\x01\x2c", b"\x02\x02\x01\x2d", 3)[:-1], "take 6000 bytes"),
    ],
)
def test_a_spoiled_picture_is_a_user_error(tmp_path: Path, spoil, message: str) -> None:
    path = tmp_path / "sky.hdr"
    path.write_bytes(spoil(encoded(pixels(5, 300))))
    with pytest.raises(UserError, match=message):
        read_hdr(path)


def test_a_missing_picture_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.hdr: cannot be read"):
        read_hdr(tmp_path / "nowhere.hdr")
