"""The error of the background's colour, apart from the rest."""

from __future__ import annotations

import torch

from framework.systems.image_error import background_weighted


def test_the_error_of_the_background_as_a_whole_has_a_weight_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    error = torch.randn(2, 3, 4, 4, generator=generator)
    opacity = torch.zeros(2, 1, 4, 4)
    opacity[:, :, :2] = 1.0
    whole = background_weighted(error, opacity, 1.0).sum(dim=(1, 2, 3))
    torch.testing.assert_close(whole, error.square().sum(dim=(1, 2, 3)))
    # A colour that is wrong all over the background counts by its share, one that is wrong on the object in full.
    wrong = torch.full((2, 3, 4, 4), 0.5)
    torch.testing.assert_close(
        background_weighted(wrong * (1 - opacity), opacity, 0.1), 0.1 * 0.25 * (1 - opacity).expand(2, 3, 4, 4)
    )
    torch.testing.assert_close(background_weighted(wrong * opacity, opacity, 0.1), 0.25 * opacity.expand(2, 3, 4, 4))
    # What differs from place to place is no such colour.
    striped = torch.tensor([0.5, -0.5]).repeat(8).view(1, 1, 4, 4) * (1 - opacity)
    torch.testing.assert_close(
        background_weighted(striped.expand(2, 3, 4, 4), opacity, 0.0).sum(), torch.tensor(2 * 3 * 8 * 0.25)
    )
    assert background_weighted(error, torch.ones_like(opacity), 0.0).isfinite().all()
