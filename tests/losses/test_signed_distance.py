"""The eikonal loss against its formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.core.errors import MissingBuffer
from framework.losses.signed_distance import Eikonal
from framework.structures.field import FieldSample
from framework.structures.losses import Frame
from framework.structures.rays import RaySamples
from framework.structures.render_output import Buffer, VolumeSamples

Make = Callable[..., Frame]


def stretched(factor: Tensor | float) -> Callable[[Tensor], FieldSample]:
    """A distance that grows `factor` times as fast as it should."""
    return lambda positions: FieldSample(gradient=factor * torch.nn.functional.normalize(positions, dim=1))


def volume(starts: Tensor) -> VolumeSamples:
    ray = torch.zeros(len(starts), dtype=torch.long)
    samples = RaySamples(ray, starts, starts + 0.2, torch.tensor([0, len(starts)]))
    none = torch.zeros(0, dtype=torch.long)
    return VolumeSamples(samples, torch.ones(len(starts)), none, None, torch.zeros(0, 3))


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_it_is_the_mean_square_excess_of_the_slope(
    make_frame: Make, make_field: Any, factor: float, expected: float
) -> None:
    frame = make_frame(torch.ones(1, 1), field=make_field(stretched(factor)))
    assert Eikonal(Eikonal.Config())(frame).losses["eikonal"].item() == pytest.approx(expected, abs=1e-6)


def test_its_gradient_shortens_a_slope_that_is_too_steep(make_frame: Make, make_field: Any) -> None:
    factor = torch.tensor(3.0, requires_grad=True)
    Eikonal(Eikonal.Config())(make_frame(torch.ones(1, 1), field=make_field(stretched(factor)))).losses[
        "eikonal"
    ].backward()
    assert factor.grad is not None and factor.grad.item() == pytest.approx(4.0, rel=1e-5)


def test_points_can_be_those_of_the_render(make_frame: Make, make_field: Any) -> None:
    field = make_field(stretched(3.0))
    loss = Eikonal(Eikonal.Config(points="samples", num_points=2))
    frame = make_frame(torch.ones(1, 1), field=field, volume=volume(torch.tensor([1.0, 2.0, 2.5])))
    assert loss(frame).losses["eikonal"].item() == pytest.approx(4.0, rel=1e-5)
    x = field.queries[0].positions[:, 0]  # The camera looks along -x from (3, 0, 0).
    assert len(x) == 2 and {round(float(value), 4) for value in x} <= {1.9, 0.9, 0.4}
    assert loss.needs == {Buffer.SAMPLES} and not Eikonal(Eikonal.Config()).needs


def test_a_render_without_samples_is_no_trouble_but_one_without_their_buffer_is(
    make_frame: Make, make_field: Any
) -> None:
    loss, field = Eikonal(Eikonal.Config(points="samples")), make_field(stretched(3.0))
    assert loss(make_frame(torch.ones(1, 1), field=field, volume=volume(torch.zeros(0)))).losses["eikonal"] == 0.0
    with pytest.raises(MissingBuffer, match="loss 'eikonal': needs 'ray samples'"):
        loss(make_frame(torch.ones(1, 1), field=field))


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="num_points must be positive, got 0"):
        Eikonal.Config(num_points=0)
