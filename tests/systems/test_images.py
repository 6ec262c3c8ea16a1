"""Pictures for people."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import torch

from framework.systems.images import sheet, side_by_side, write_png


def test_a_png_holds_the_image_in_8_bits(tmp_path: Path) -> None:
    image = torch.tensor([[[0.0, 0.5, 1.0], [-1.0, 2.0, 0.25]]])
    write_png(tmp_path / "new" / "a.png", image)
    assert imageio.imread(tmp_path / "new" / "a.png").tolist() == [[[0, 128, 255], [0, 255, 64]]]


def test_a_sheet_shows_images_in_rows_with_white_gaps_and_blanks() -> None:
    images = torch.zeros(3, 1, 1, 3)
    images[1, ..., 0], images[2, ..., 1] = 0.5, 0.5
    picture = sheet(images, columns=2, gap=1)
    assert picture.shape == (4, 4, 3)
    black, red, green, white = [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [1, 1, 1]
    assert picture[0].tolist() == [black, white, red, white]
    assert picture[1].tolist() == [white] * 4
    assert picture[2].tolist() == [green, white, white, white]


def test_views_stand_side_by_side_with_their_buffers_below() -> None:
    color, opacity = torch.zeros(2, 4, 5, 3), torch.full((2, 4, 5, 1), 0.5)
    picture = side_by_side([color, opacity])
    assert picture.shape == (2 * (4 + 2), 2 * (5 + 2), 3)
    assert picture[6:10, 7:12].unique().tolist() == [0.5]
