"""Specks and cavities of voxel solids."""

from __future__ import annotations

import numpy as np
import torch

from framework.geometry.solid import clean, fill_cavities, without_specks


def box(low, high, size=24):
    solid = np.zeros((size,) * 3, dtype=bool)
    solid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return solid


HULL = box((4, 4, 4), (20, 20, 20))
ROOM = box((8, 8, 8), (16, 16, 16))


def test_a_closed_cavity_is_filled() -> None:
    assert np.array_equal(fill_cavities(HULL & ~ROOM, 0), HULL)


def test_a_cavity_behind_a_narrow_opening_is_filled_and_behind_a_wide_one_kept() -> None:
    for width, expected in ((4, True), (5, False)):
        shaft = box((10, 10, 16), (10 + width, 10 + width, 20))
        filled = fill_cavities(HULL & ~ROOM & ~shaft, 4)
        assert filled[12, 12, 12] == expected
        assert not filled[11, 11, 19]  # the mouth of the shaft is a dent of the surface either way


def test_a_narrow_groove_and_a_hole_that_leads_through_stay_open() -> None:
    groove = box((10, 0, 14), (12, 24, 20))
    hole = box((0, 10, 6), (24, 13, 9))
    solid = HULL & ~groove & ~hole
    assert np.array_equal(fill_cavities(solid, 4), solid)


def test_specks_go_and_parts_with_enough_surface_stay() -> None:
    ball_beside = box((21, 21, 21), (24, 24, 24))
    speck = box((0, 0, 0), (1, 1, 1))
    kept = without_specks(HULL | ball_beside | speck, 0.01)
    assert np.array_equal(kept, HULL | ball_beside)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    solid = box((4, 4, 4), (8, 8, 8)) | box((8, 8, 8), (9, 9, 9))
    assert np.array_equal(without_specks(solid, 0.5), solid)


def test_the_largest_part_stays_however_scattered_the_solid_is() -> None:
    scattered = np.zeros((24, 24, 24), dtype=bool)
    scattered[::2, ::2, ::2] = True
    assert without_specks(scattered, 0.5).sum() == 1


def test_cleaning_leaves_the_field_at_the_visible_surface_as_it_was() -> None:
    generator = torch.Generator().manual_seed(0)
    solid = torch.from_numpy(HULL & ~ROOM | box((0, 0, 0), (1, 1, 1)))
    signed = torch.rand(solid.shape, generator=generator) * 0.4 + 0.05
    signed = torch.where(solid, signed, -signed)
    cleaned = clean(signed, min_component_fraction=0.01, max_opening=4)
    outside_the_room = torch.from_numpy(~ROOM)
    outside_the_room[0, 0, 0] = False
    assert torch.equal(cleaned[outside_the_room], signed[outside_the_room])
    assert (cleaned[torch.from_numpy(ROOM)] > 0.0).all()
    assert cleaned[0, 0, 0] < 0.0
