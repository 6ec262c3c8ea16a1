"""Penalties on normals against their formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.core.errors import MissingBuffer
from framework.losses.normals import Convexity, NormalSmoothness3d, Orientation
from framework.structures.field import FieldSample
from framework.structures.losses import Frame
from framework.structures.rays import RaySamples
from framework.structures.render_output import VolumeSamples

Make = Callable[..., Frame]
LOSS = Orientation(Orientation.Config())


def volume(normals: Tensor | None, weights: Tensor) -> VolumeSamples:
    """Three samples on the second of two rays, of which the first and the last are shaded; seen along -x."""
    starts = torch.tensor([1.0, 2.0, 3.0])
    samples = RaySamples(torch.tensor([1, 1, 1]), starts, starts + 1.0, torch.tensor([0, 0, 3]))
    return VolumeSamples(
        samples=samples,
        weights=weights,
        shaded=torch.tensor([0, 2]),
        normals=normals,
        directions=torch.tensor([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]),
    )


def test_only_normals_that_face_away_cost_and_by_their_weight(make_frame: Make) -> None:
    normals = torch.tensor([[1.0, 0.0, 0.0], [-0.6, 0.8, 0.0]])
    frame = make_frame(
        torch.tensor([[0.0, 0.9]]),
        normal=torch.zeros(1, 1, 2, 3),
        volume=volume(normals, torch.tensor([0.5, 0.1, 0.3])),
    )
    assert LOSS(frame).losses["orientation"].item() == pytest.approx(0.3 * 0.36)  # one ray meets something


def test_it_turns_normals_and_does_not_remove_density(make_frame: Make) -> None:
    normals = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], requires_grad=True)
    weights = torch.tensor([0.5, 0.1, 0.3], requires_grad=True)
    opacity = torch.tensor([[0.0, 0.9]], requires_grad=True)
    frame = make_frame(opacity, normal=torch.zeros(1, 1, 2, 3), volume=volume(normals, weights))
    LOSS(frame).losses["orientation"].backward()
    assert weights.grad is None and opacity.grad is None
    assert normals.grad is not None and bool((normals.grad[:, 0] < 0.0).all())


def test_an_empty_image_costs_nothing(make_frame: Make) -> None:
    empty = VolumeSamples(
        RaySamples(torch.zeros(0, dtype=torch.long), torch.zeros(0), torch.zeros(0), torch.zeros(3, dtype=torch.long)),
        torch.zeros(0),
        torch.zeros(0, dtype=torch.long),
        torch.zeros(0, 3),
        torch.zeros(0, 3),
    )
    frame = make_frame(torch.zeros(1, 2), normal=torch.zeros(1, 1, 2, 3), volume=empty)
    assert LOSS(frame).losses["orientation"].item() == 0.0


def test_a_render_without_its_buffers_is_an_error_that_names_the_loss(make_frame: Make) -> None:
    with pytest.raises(MissingBuffer, match="loss 'orientation': needs 'ray samples'"):
        LOSS(make_frame(torch.zeros(1, 2)))
    with pytest.raises(MissingBuffer, match="loss 'orientation': needs 'normal'"):
        LOSS(make_frame(torch.zeros(1, 2), volume=volume(None, torch.ones(3))))


def test_equal_normals_all_around_are_smooth_and_others_differ_by_their_turn(make_frame: Make, make_field: Any) -> None:
    ones = torch.ones(1, 2)
    normals = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    field = make_field(lambda positions: FieldSample(normals=torch.tensor([0.0, 1.0, 0.0]).expand(len(positions), 3)))
    frame = make_frame(ones, normal=torch.zeros(1, 1, 2, 3), volume=volume(normals, torch.ones(3)), field=field)
    loss = NormalSmoothness3d(NormalSmoothness3d.Config())(frame).losses["normal-smoothness-3d"]
    assert loss.item() == pytest.approx((2.0 + 0.0) / 6.0)


def test_neighbours_are_asked_for_at_a_normal_distance_from_the_samples(make_frame: Make, make_field: Any) -> None:
    field = make_field(lambda positions: FieldSample(normals=torch.zeros_like(positions)))
    count = 4000
    ray = torch.ones(count, dtype=torch.long)
    starts = torch.full((count,), 1.9)
    samples = RaySamples(ray, starts, starts + 0.2, torch.tensor([0, 0, count]))
    shaded = VolumeSamples(
        samples, torch.ones(count), torch.arange(count), torch.zeros(count, 3), torch.zeros(count, 3)
    )
    frame = make_frame(torch.ones(1, 2), normal=torch.zeros(1, 1, 2, 3), volume=shaded, field=field)
    NormalSmoothness3d(NormalSmoothness3d.Config(distance=0.05, num_points=3000))(frame)
    rays = frame.views.cameras.rays()
    offsets = field.queries[0].positions - (rays.origins[1] + 2.0 * rays.directions[1])
    assert offsets.shape == (3000, 3)
    torch.testing.assert_close(offsets.std(dim=0), torch.full((3,), 0.05), rtol=0.05, atol=0.0)
    torch.testing.assert_close(offsets.mean(dim=0), torch.zeros(3), rtol=0.0, atol=0.005)


def ball_normals(make_frame: Make, *, sign: float = 1.0, size: int = 64) -> Frame:
    """A ball as large as the image, or a hollow; seen from +x, where right is +y and up is +z."""
    line = (torch.arange(size) + 0.5) * (2.0 / size) - 1.0
    up, right = torch.meshgrid(-line, line, indexing="ij")
    towards = (1.0 - up.square() - right.square()).clamp(min=0.0).sqrt()
    is_inside = (up.square() + right.square() < 1.0).float()
    normal = torch.stack([towards, sign * right, sign * up], dim=-1) * is_inside[..., None]
    return make_frame(is_inside, normal=normal[None])


def test_a_ball_is_convex_a_bowl_is_not_and_a_wall_is_flat(make_frame: Make) -> None:
    loss = Convexity(Convexity.Config())
    ball, bowl = (loss(ball_normals(make_frame, sign=sign)).losses["convexity"].item() for sign in (1.0, -1.0))
    wall = torch.tensor([1.0, 0.0, 0.0]).expand(1, 16, 16, 3)
    assert ball < -0.2 and bowl == pytest.approx(-ball, rel=1e-5)
    assert loss(make_frame(torch.ones(16, 16), normal=wall)).losses["convexity"].item() == pytest.approx(0.0, abs=1e-6)


def test_a_ridge_turns_by_the_sine_of_its_angle(make_frame: Make) -> None:
    left, right = torch.tensor([0.8, -0.6, 0.0]), torch.tensor([0.8, 0.6, 0.0])
    normal = torch.stack([left, right]).repeat_interleave(8, dim=0).expand(1, 16, 16, 3)
    for resolution, pairs in ((2, 1), (4, 3)):  # One pair in each row straddles the ridge.
        loss = Convexity(Convexity.Config(resolution=resolution))(make_frame(torch.ones(16, 16), normal=normal))
        assert loss.losses["convexity"].item() == pytest.approx(-2.0 * 0.6 * 0.8 / pairs, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: NormalSmoothness3d.Config(distance=0.0), "distance"),
        (lambda: Convexity.Config(resolution=1), "resolution"),
    ],
)
def test_impossible_settings_are_refused_by_name(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make()
