"""Where losses ask the geometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from framework.losses.field import ask, draw_rows, points_in_cube
from framework.structures.field import Attribute, FieldSample
from framework.structures.losses import Frame

Make = Callable[..., Frame]


def test_points_fill_the_cube_of_the_geometry_and_differ_by_user(make_frame: Make, make_field: Any) -> None:
    frame = make_frame(torch.ones(1, 1), field=make_field(lambda positions: FieldSample()))
    points = points_in_cube(frame, 4096, "a")
    assert points.abs().max() <= 2.0 and points.abs().amax(dim=0).min() > 1.99
    assert torch.equal(points_in_cube(frame, 4096, "a"), points)
    assert not torch.equal(points_in_cube(frame, 4096, "b"), points)


def test_rows_are_drawn_without_repetition_and_never_too_many(make_frame: Make) -> None:
    frame = make_frame(torch.ones(1, 1))
    assert len(set(draw_rows(frame, 100, 60, "a").tolist())) == 60
    assert sorted(draw_rows(frame, 5, 60, "a").tolist()) == [0, 1, 2, 3, 4]


def test_only_what_is_wanted_is_asked(make_frame: Make, make_field: Any) -> None:
    field = make_field(lambda positions: FieldSample(density=positions[:, 0]))
    frame = make_frame(torch.ones(1, 1), field=field)
    positions = torch.eye(3)
    assert torch.equal(ask(frame, positions, Attribute.DENSITY).density, positions[:, 0])  # type: ignore[arg-type]
    assert field.queries[0].wants == {Attribute.DENSITY} and field.queries[0].step == frame.step
