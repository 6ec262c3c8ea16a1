"""The fingerprint of the scenes."""

from __future__ import annotations

import pytest
import torch

from framework.toybox import colors
from framework.toybox.reference import (
    NUM_REFERENCES,
    block_means,
    digest,
    quantized,
    reference_digest,
    reference_renders,
)


@pytest.fixture(scope="module")
def renders() -> torch.Tensor:
    return reference_renders()


def test_rounding_noise_does_not_change_the_digest(renders: torch.Tensor) -> None:
    assert len(renders) == NUM_REFERENCES
    assert digest(renders + 4e-5) == digest(renders - 4e-5) == digest(renders)


def test_the_levels_fit_into_four_bits(renders: torch.Tensor) -> None:
    levels = quantized(block_means(renders))
    assert levels.min() >= 0 and levels.max() <= 15 and len(levels.unique()) > 10


def test_a_small_change_of_one_detail_changes_the_digest(
    renders: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    r, g, b = colors.TONES["wood"]
    monkeypatch.setitem(colors.TONES, "wood", (r + 0.1, g, b))
    assert reference_digest() != digest(renders)
