"""Counting right objects: a perfect prior gets all, one that draws something else none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from framework.core.registries import PRIORS
from framework.diffusion.conditions import TextEmbedding
from framework.diffusion.prior import Prior
from framework.systems.prior_quality import judged_prompts, right_objects
from framework.toybox.families import FAMILIES


def oracle() -> Any:
    config = PRIORS.find("oracle").Config(views=16, image_size=32)
    return PRIORS.build(config, device=torch.device("cpu"))


def counted(prior: Prior) -> dict[str, Any]:
    return right_objects(prior, count=6, generator=torch.Generator().manual_seed(0), guidance_scale=1.0, num_steps=3)


def test_the_oracle_draws_the_right_objects() -> None:
    counts = counted(oracle())
    assert counts["right"] >= 5 / 6
    assert counts["prompts"] == 6 and counts["num_steps"] == 3 and counts["guidance_scale"] == 1.0


def test_a_prior_that_draws_other_prompts_draws_wrong_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = oracle()
    encode = prior.encode_text

    def shifted(prompts: Sequence[str]) -> TextEmbedding:
        *named, empty = prompts
        return encode([*named[1:], named[0], empty])  # type: ignore[no-any-return]

    monkeypatch.setattr(prior, "encode_text", shifted)
    assert counted(prior)["right"] <= 1 / 6


def test_judged_prompts_leave_no_color_open_and_cover_the_list() -> None:
    specs = judged_prompts(200)
    assert len(specs) == 200 and len(set(specs)) == 200
    assert len({spec.objects[0].family for spec in specs}) > 25
    assert any(spec.relation for spec in specs)
    for spec in specs:
        assert all(item.color or not FAMILIES[item.family].is_colored for item in spec.objects)
