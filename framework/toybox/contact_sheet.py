"""Sheets of many images in one, for the eye."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def contact_sheet(images: Float[Tensor, "N H W 3"], columns: int, *, gap: int = 2) -> Float[Tensor, "rows columns 3"]:
    """The images in rows of `columns`, with white gaps of `gap` pixels; empty places are white."""
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    sheet = images.new_ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
