"""What a prior makes of the camera: one that knows it is wrong when the camera is, one that does not is never the wiser."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from framework.core.registries import PRIORS
from framework.diffusion.conditions import Conditions
from framework.systems.prior_cameras import samples_from_sides, turned_camera_errors


@pytest.fixture(scope="module")
def oracle() -> Any:
    config = PRIORS.find("oracle").Config(views=64, image_size=16)
    return PRIORS.build(config, device=torch.device("cpu"))


def columns_of_object(image: torch.Tensor) -> torch.Tensor:
    """Where an image differs from its corner."""
    return ((image - image[0, 0]).abs().amax(dim=-1) > 0.15).any(dim=0)


def errors(prior: Any) -> list[float]:
    found = turned_camera_errors(prior, count=6, generator=torch.Generator().manual_seed(0))
    assert found["images"] == 6
    return [found[f"error_turned_{turn}"] for turn in (0, 90, 180)]


def test_a_perfect_prior_is_wrong_when_the_camera_is(oracle: Any) -> None:
    right, quarter, half = errors(oracle)
    assert quarter > 1.3 * right and half > 1.3 * right


def test_a_prior_that_is_not_told_the_camera_is_equally_wrong(oracle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = oracle.predict

    def blind(noisy: torch.Tensor, timestep: torch.Tensor, conditions: Conditions) -> Any:
        return predict(noisy, timestep, dataclasses.replace(conditions, camera_present=None))

    monkeypatch.setattr(oracle, "predict", blind)
    right, quarter, half = errors(oracle)
    assert right == quarter == half


def test_samples_show_each_object_from_four_sides(oracle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.systems.prior_cameras.SIDES_PROMPTS", ("a red car",))
    generator = torch.Generator().manual_seed(0)
    images = samples_from_sides(oracle, guidance_scale=1.0, generator=generator)
    assert images.shape == (4, 16, 16, 3)
    # A car is longer than wide.
    front, left, back, right = (int(columns_of_object(image).sum()) for image in images)
    assert max(front, back) < min(left, right)
