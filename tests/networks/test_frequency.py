"""Sines and cosines as a configurable encoding."""

from __future__ import annotations

import pytest
import torch

from framework.core.step import StepInfo, named_generator
from framework.networks.frequency import Frequency


def test_the_middle_of_the_cube_has_zero_coordinates_zero_sines_and_unit_cosines() -> None:
    encoding = Frequency(Frequency.Config(num_frequencies=4), generator=named_generator(0, "test"), backends={})
    features = encoding.encode(torch.full((1, 3), 0.5), StepInfo(0, 1))
    assert features.shape == (1, encoding.output_dim) == (1, 27)
    expected = torch.cat([torch.zeros(15), torch.ones(12)])
    torch.testing.assert_close(features[0], expected, atol=1e-6, rtol=0.0)


def test_no_octaves_are_refused() -> None:
    with pytest.raises(ValueError, match="num_frequencies must be positive"):
        Frequency.Config(num_frequencies=0)
