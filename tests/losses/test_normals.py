"""The orientation penalty against its formula."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.core.errors import MissingBuffer
from framework.losses.normals import Orientation
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
