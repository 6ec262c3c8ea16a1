"""Pictures for people: strips and sheets of images, and PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.files import replacing
from framework.export.png import encode_png


def write_png(path: Path, image: Float[Tensor, "H W 3"]) -> None:
    """Write an image in [0, 1] as an 8-bit PNG."""
    with replacing(path) as temporary:
        temporary.write_bytes(encode_png(image.float()))


def sheet(images: Float[Tensor, "N H W 3"], *, columns: int, gap: int = 2) -> Float[Tensor, "H2 W2 3"]:
    """Images side by side in rows of `columns`, with white gaps."""
    count = len(images)
    rows = -(-count // columns)
    padded = F.pad(images, (0, 0, 0, gap, 0, gap), value=1.0)
    blank = torch.ones(rows * columns - count, *padded.shape[1:], device=images.device)
    cells = torch.cat([padded, blank]).reshape(rows, columns, *padded.shape[1:])
    return cells.permute(0, 2, 1, 3, 4).reshape(rows * padded.shape[1], columns * padded.shape[2], 3)


def side_by_side(rows: Sequence[Float[Tensor, "B H W _"]]) -> Float[Tensor, "H2 W2 3"]:
    """One column for each of B views, one row for each kind of image; single channels are shown as gray."""
    cells = [row.expand(*row.shape[:3], 3) for row in rows]
    return sheet(torch.cat(cells), columns=len(cells[0]))
