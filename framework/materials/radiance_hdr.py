"""Reading pictures of light in the Radiance format (.hdr, RGBE): three mantissas and a common exponent per pixel.

Format: Greg Ward, "Real Pixels", Graphics Gems II, 1991, and the file format page of the Radiance documentation.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError

_SHORTEST, _LONGEST = 8, 32767  # widths of rows that may be run-length encoded


def read_hdr(path: Path) -> Float[Tensor, "H W 3"]:
    """Linear radiance in the file's own unit, row 0 the top.

    Raises:
        UserError: If the file is missing, damaged, or of a kind that hardly anything writes (columns first, mirrored,
            XYZ colours, run lengths of the first version).
    """
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: not a readable Radiance picture: {error}.") from error


def _parse(data: bytes) -> Float[Tensor, "H W 3"]:
    header, separator, _ = data.partition(b"\n\n")
    if not header.startswith(b"#?") or not separator:
        raise ValueError("it does not begin with a Radiance header")
    if b"FORMAT=32-bit_rle_rgbe" not in header:
        raise ValueError("its header does not name the format 32-bit_rle_rgbe")
    size = re.compile(rb"-Y (\d+) \+X (\d+)\n").match(data, len(header) + 2)
    if size is None:
        raise ValueError("it is not stored from the top row down, each row from the left")
    height, width = int(size[1]), int(size[2])
    pixels = _pixels(data, size.end(), height, width)
    scale = np.ldexp(1.0, pixels[..., 3].astype(np.int32) - (128 + 8))
    radiance = pixels[..., :3] * np.where(pixels[..., 3] > 0, scale, 0.0)[..., None]
    return torch.from_numpy(radiance.astype(np.float32))


def _pixels(data: bytes, start: int, height: int, width: int) -> np.ndarray:
    """Bytes (H, W, 4): mantissas of red, green and blue, and the exponent."""
    marker = bytes([2, 2, width >> 8, width & 255])
    if not _SHORTEST <= width <= _LONGEST or data[start : start + 4] != marker:
        plain = np.frombuffer(data, np.uint8, offset=start)
        if plain.size != height * width * 4:
            raise ValueError(f"{height} x {width} pixels take {height * width * 4} bytes, but it has {plain.size}")
        return plain.reshape(height, width, 4)
    rows = np.empty((height, 4, width), dtype=np.uint8)
    for row in rows:
        if data[start : start + 4] != marker:
            raise ValueError("a row does not begin as it should")
        start += 4
        for channel in row:
            start = _expand(data, start, channel)
    return rows.transpose(0, 2, 1)


def _expand(data: bytes, start: int, channel: np.ndarray) -> int:
    """Fill `channel` from the run lengths at `start`; returns where they end."""
    filled = 0
    while filled < len(channel):
        count = data[start]
        is_run = count > 128
        count = count - 128 if is_run else count
        if not 0 < count <= len(channel) - filled:
            raise ValueError("a run is longer than its row")
        step = 1 if is_run else count
        values = np.frombuffer(data, np.uint8, step, start + 1)
        channel[filled : filled + count] = values
        start, filled = start + 1 + step, filled + count
    return start
