"""Regularisers of surfaces from grids, on values that are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from framework.core.errors import MissingBuffer, UserError
from framework.losses.isosurface import DualDeviation, SignChanges
from framework.structures.losses import Frame
from framework.structures.mesh import Mesh

Make = Callable[..., Frame]
NO_FACES = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))


def surface(*, crossings: Tensor | None = None, deviation: Tensor | None = None) -> Mesh:
    return Mesh(NO_FACES.vertices, NO_FACES.faces, crossings=crossings, deviation=deviation)


def sign_changes(make_frame: Make, mesh: Mesh | None, *, width: float = 1.0) -> Tensor:
    loss = SignChanges(SignChanges.Config(width=width))
    return loss(make_frame(torch.ones(1, 1), mesh=mesh)).losses["sign-changes"]


def dual_deviation(make_frame: Make, mesh: Mesh | None) -> Tensor:
    return DualDeviation(DualDeviation.Config())(make_frame(torch.ones(1, 1), mesh=mesh)).losses["dual-deviation"]


def test_sign_changes_are_cross_entropies_of_each_end_with_the_other(make_frame: Make) -> None:
    first, second = -0.4, 1.5
    # H(sigmoid(s), 1) = log(1 + exp(-s)) and H(sigmoid(s), 0) = log(1 + exp(s)).
    expected = math.log1p(math.exp(-first)) + math.log1p(math.exp(second))
    for pair in ([first, second], [second, first]):
        assert float(sign_changes(make_frame, surface(crossings=torch.tensor([pair])))) == pytest.approx(expected)
    two = surface(crossings=torch.tensor([[first, second], [-1e-9, 1e-9]]))
    assert float(sign_changes(make_frame, two)) == pytest.approx(0.5 * (expected + 2.0 * math.log(2.0)))


def test_the_width_scales_the_distances(make_frame: Make) -> None:
    narrow = sign_changes(make_frame, surface(crossings=torch.tensor([[-0.1, 0.3]])), width=0.1)
    wide = sign_changes(make_frame, surface(crossings=torch.tensor([[-1.0, 3.0]])), width=1.0)
    torch.testing.assert_close(narrow, wide)


def test_descent_on_sign_changes_ends_the_crossing(make_frame: Make) -> None:
    values = torch.tensor([[-0.2, 0.1]], requires_grad=True)
    sign_changes(make_frame, surface(crossings=values)).backward()
    assert values.grad is not None
    assert float(values.grad[0, 0]) < 0.0 < float(values.grad[0, 1])


def test_deviation_is_averaged(make_frame: Make) -> None:
    deviation = torch.tensor([0.1, 0.3], requires_grad=True)
    loss = dual_deviation(make_frame, surface(deviation=deviation))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.2)
    torch.testing.assert_close(deviation.grad, torch.tensor([0.5, 0.5]))


def test_an_empty_surface_costs_nothing(make_frame: Make) -> None:
    assert float(sign_changes(make_frame, surface(crossings=torch.zeros(0, 2)))) == 0.0
    assert float(dual_deviation(make_frame, surface(deviation=torch.zeros(0)))) == 0.0


@pytest.mark.parametrize(("loss", "geometries"), [(sign_changes, "'tetrahedral-grid' or"), (dual_deviation, "'flexi")])
def test_another_surface_or_none_is_an_error(
    make_frame: Make, loss: Callable[[Make, Mesh | None], Tensor], geometries: str
) -> None:
    with pytest.raises(UserError, match=f"Use geometry {geometries}"):
        loss(make_frame, NO_FACES)
    with pytest.raises(MissingBuffer):
        loss(make_frame, None)


def test_a_width_must_be_positive() -> None:
    with pytest.raises(ValueError, match="width"):
        SignChanges.Config(width=0.0)
