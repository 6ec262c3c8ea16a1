"""Regularisers of the opacity against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from framework.losses.opacity import Binarization, Sparsity
from framework.structures.losses import Frame
from framework.structures.render_output import Buffer

Make = Callable[..., Frame]


def test_sparsity_is_the_mean_smoothed_opacity(make_frame: Make) -> None:
    opacity = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    loss = Sparsity(Sparsity.Config())(make_frame(opacity)).losses["sparsity"]
    expected = (0.1 + math.sqrt(1.01) + 2.0 * math.sqrt(0.26)) / 4.0
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_binarization_is_the_cross_entropy_of_the_opacity_with_itself(make_frame: Make) -> None:
    opacity = torch.tensor([[0.3, 0.7], [0.5, 0.01]])
    loss = Binarization(Binarization.Config())(make_frame(opacity)).losses["binarization"]
    torch.testing.assert_close(loss, F.binary_cross_entropy(opacity, opacity))


def test_binarization_pushes_away_from_one_half_and_leaves_settled_pixels_alone(make_frame: Make) -> None:
    opacity = torch.tensor([[0.4, 0.6], [0.0, 1.0]], requires_grad=True)
    Binarization(Binarization.Config())(make_frame(opacity)).losses["binarization"].backward()
    assert opacity.grad is not None
    assert opacity.grad[0, 0] > 0.0 > opacity.grad[0, 1]
    assert torch.equal(opacity.grad[1], torch.zeros(2))


def test_both_declare_the_opacity_that_they_read() -> None:
    assert Sparsity.needs == Binarization.needs == frozenset({Buffer.OPACITY})
