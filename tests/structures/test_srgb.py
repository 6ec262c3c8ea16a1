"""sRGB and linear light."""

from __future__ import annotations

import torch

from framework.structures.srgb import to_linear, to_srgb


def test_the_curve_passes_through_its_known_points() -> None:
    # Mid grey 0.5 is 0.2140 linear; 18 % grey is shown as 0.4614.
    assert torch.allclose(to_linear(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 0.21404, 1.0]), atol=1e-5)
    assert torch.allclose(to_srgb(torch.tensor([0.0, 0.18, 1.0])), torch.tensor([0.0, 0.46136, 1.0]), atol=1e-5)


def test_both_directions_undo_each_other() -> None:
    values = torch.linspace(0.0, 2.0, 400)
    assert torch.allclose(to_srgb(to_linear(values)), values, atol=1e-5)


def test_gradients_are_finite_where_the_root_is_not() -> None:
    for curve in (to_linear, to_srgb):
        values = torch.tensor([0.0, 1e-8, 0.003, 0.05, 1.0], requires_grad=True)
        curve(values).sum().backward()
        assert values.grad is not None and bool((values.grad > 0.0).all()) and float(values.grad.max()) < 13.0
