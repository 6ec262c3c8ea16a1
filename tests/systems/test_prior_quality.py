"""Right objects and colours: a perfect prior gets all, one that draws something else none; and a prior that copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from framework.core.registries import PRIORS
from framework.diffusion.conditions import PromptIndex
from framework.diffusion.prior import Prior
from framework.systems.prior_quality import (
    JudgingConfig,
    MemorizingConfig,
    judged_samples,
    memorized_samples,
    right_objects,
)
from framework.systems.prior_samples import trained_specs
from framework.toybox.batches import ToyDraw, training_draw
from framework.toybox.evaluation.search import Effort
from framework.toybox.families import FAMILIES

Drawing = Callable[[Prior], None]


def oracle() -> Any:
    config = PRIORS.find("oracle").Config(views=16, image_size=32)
    return PRIORS.build(config, device=torch.device("cpu"))


@pytest.fixture
def confuse(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    """Makes a prior draw for each prompt what the next one names."""

    def confused(prior: Prior) -> None:
        encode = prior.encode_text

        def shifted(prompts: Sequence[str]) -> PromptIndex:
            *named, empty = prompts
            encoded = encode([*named[1:], named[0], empty])
            assert isinstance(encoded, PromptIndex)
            return encoded

        monkeypatch.setattr(prior, "encode_text", shifted)

    return confused


def counted(prior: Prior) -> dict[str, Any]:
    return right_objects(prior, count=6, generator=torch.Generator().manual_seed(0), guidance_scale=1.0, num_steps=3)


def judged(prior: Prior, *, views: int) -> dict[str, Any]:
    config = JudgingConfig(prompts=6, views=views)
    generator = torch.Generator().manual_seed(0)
    return judged_samples(prior, config, generator=generator, guidance_scale=1.0, num_steps=3)


def test_the_oracle_draws_the_right_objects() -> None:
    counts = counted(oracle())
    assert counts["right"] >= 5 / 6
    assert counts["prompts"] == 6 and counts["num_steps"] == 3 and counts["guidance_scale"] == 1.0


def test_a_prior_that_draws_other_prompts_draws_wrong_objects(confuse: Drawing) -> None:
    prior = oracle()
    confuse(prior)
    assert counted(prior)["right"] <= 1 / 6


def test_the_judge_finds_the_oracle_about_as_good_as_true_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.systems.prior_quality.HELD_OUT_LISTS", ("dev",))
    found = judged(oracle(), views=2)
    assert {"train", "dev"} < found.keys() and found["views"] == 2
    assert found["train"]["single"]["prompts"] + found["train"]["relation"]["prompts"] == 6
    singles = found["dev"]["single"]
    assert singles["prompts"] == 11 and found["dev"].keys() == {"single", "relation", "on top of"}
    assert found["dev"]["on top of"] == found["dev"]["relation"] and found["dev"]["relation"]["prompts"] == 1
    for name in ("objects_right", "colors_right"):
        assert min(singles[name], singles["true_renders"][name]) >= 0.8, name
    assert 0.5 <= singles["objects_right_in_one_image"] <= 1.0


def test_the_judge_finds_little_right_in_what_other_prompts_name(
    confuse: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.systems.prior_quality.HELD_OUT_LISTS", ("dev",))
    prior = oracle()
    confuse(prior)
    singles = judged(prior, views=1)["dev"]["single"]
    assert singles["objects_right"] <= 0.2 and singles["colors_right"] <= 0.4
    assert singles["true_renders"]["objects_right"] >= 0.7


def test_samples_are_no_nearer_to_what_an_oracle_was_never_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.toybox.evaluation.memorizing._EFFORT", Effort(starts=8, generations=1, children=8))

    def draws(seed: int) -> list[ToyDraw]:
        return [training_draw(torch.Generator().manual_seed(seed), 3000)]

    found = memorized_samples(
        oracle(),
        MemorizingConfig(samples=6),
        trained=draws(1),
        untrained=draws(2),
        generator=torch.Generator().manual_seed(0),
        guidance_scale=1.0,
        num_steps=3,
    )
    assert 3 <= found["samples"] <= 6 and found["trained_images"] == found["untrained_images"] == 3000
    assert 0.6 < found["pixels"]["samples_to_trained"] / found["pixels"]["samples_to_untrained"] < 1.6


def test_trained_specs_leave_no_color_open_and_cover_the_list() -> None:
    specs = trained_specs(300)
    assert len(specs) == 300 and len(set(specs)) == 300
    assert len({spec.objects[0].family for spec in specs}) > 25
    assert any(spec.relation for spec in specs)
    for spec in specs:
        assert all(item.color or not FAMILIES[item.family].is_colored for item in spec.objects)


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="views positive, got 300 and 0"):
        JudgingConfig(views=0)
    with pytest.raises(ValueError, match="images positive, got 64 and 0"):
        MemorizingConfig(images=0)
