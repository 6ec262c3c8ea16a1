"""Sheets of images."""

from __future__ import annotations

import torch

from framework.toybox.contact_sheet import contact_sheet


def test_images_stand_in_rows_with_white_gaps_and_rest() -> None:
    images = torch.stack([torch.full((2, 3, 3), value) for value in (0.1, 0.2, 0.3)])
    sheet = contact_sheet(images, 2, gap=1)
    assert sheet.shape == (5, 7, 3)
    assert torch.equal(sheet[:2, :3], images[0]) and torch.equal(sheet[:2, 4:], images[1])
    assert torch.equal(sheet[3:, :3], images[2])
    assert (sheet[2] == 1).all() and (sheet[:, 3] == 1).all() and (sheet[3:, 4:] == 1).all()
