"""`long_prompt` means the same in all families: read in chunks where the denoiser only attends to tokens, else cut."""

from __future__ import annotations

import pytest
import torch

from framework.diffusion.conditions import Conditions
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")
SHORT, LONG, LONGER = "a dog", "a big red cube, side view", "a big red cube on top of a green sphere"


def _load(folder, **options):
    return PretrainedPrior(PretrainedPrior.Config(model=str(folder), **options), device=CPU)


@pytest.mark.parametrize("cache", [False, True])
def test_a_denoiser_answers_to_all_of_a_long_prompt(latent_folder, cache):
    prior = _load(latent_folder, long_prompt="chunk", cache_embeddings=cache)
    text = prior.encode_text([LONG, LONG.replace("view", "face"), ""])
    conditions = Conditions(text[torch.tensor([[0], [1], [2]])], torch.ones(3, 1))
    answer = prior.predict(torch.randn(1, *prior.sample_shape), torch.tensor([500]), conditions).raw
    assert not torch.allclose(answer[0], answer[1], atol=1e-5)
    cut = _load(latent_folder, cache_embeddings=False).encode_text([LONG, LONG.replace("view", "face")]).states
    assert torch.equal(cut[0], cut[1])  # What tells them apart is behind the end.


def test_the_unconditional_answer_is_that_beside_a_short_prompt(latent_folder):
    prior = _load(latent_folder, long_prompt="chunk", cache_embeddings=False)
    noisy, timestep = torch.randn(1, *prior.sample_shape), torch.tensor([500])
    answers = []
    for prompt in (SHORT, LONG, LONGER):
        text = prior.encode_text([prompt, ""])
        conditions = Conditions(text[torch.tensor([[1]])], torch.ones(1, 1))
        answers.append(prior.predict(noisy, timestep, conditions).raw)
    assert torch.allclose(answers[0], answers[1], atol=1e-5)
    assert torch.allclose(answers[0], answers[2], atol=1e-5)


def test_conditions_of_different_lengths_are_joined(latent_folder):
    prior = _load(latent_folder, long_prompt="chunk", cache_embeddings=False)
    noisy, timestep = torch.randn(1, *prior.sample_shape), torch.tensor([500])
    short, long = (
        Conditions(prior.encode_text([prompt])[torch.tensor([[0]])], torch.ones(1, 1)) for prompt in (SHORT, LONG)
    )
    together = prior.predict(noisy, timestep, short.joined(long)).raw
    for row, alone in enumerate((short, long)):
        assert torch.allclose(together[row], prior.predict(noisy, timestep, alone).raw[0], atol=1e-5)


def test_what_is_kept_on_disk_has_the_length_of_its_own_prompt(latent_folder):
    first = _load(latent_folder, long_prompt="chunk").encode_text([SHORT, LONG, ""])
    again = _load(latent_folder, long_prompt="chunk")
    assert again.encode_text([SHORT, ""]).states.shape[1] == 16
    assert torch.equal(again.encode_text([SHORT, LONG, ""]).states, first.states)
    assert _load(latent_folder).encode_text([LONG]).states.shape[1] == 16  # cut, and not taken for what was chunked


def test_both_encoders_of_sdxl_are_read_to_the_end(tiny):
    from framework.diffusion.families.stable_diffusion_xl import StableDiffusionXL
    from framework.diffusion.families.text import ClipText

    model = object.__new__(StableDiffusionXL)
    encoders = [tiny.clip(8), tiny.clip(12, projection=8, pad_token="!")]
    model.encoders = tuple(
        ClipText(*parts, is_projected=index == 1, long_prompt="chunk") for index, parts in enumerate(encoders)
    )
    model.has_zero_unconditional = True
    text = model.encode_text([LONGER, SHORT, ""])
    cut = [ClipText(*parts, is_projected=index == 1) for index, parts in enumerate(encoders)]
    states = torch.cat([encoder.encode_penultimate([LONGER, SHORT]).states for encoder in cut], dim=-1)
    assert text.states.shape == (3, 48, 20)
    assert torch.allclose(text.states[:2, :16], states, atol=1e-6)
    assert torch.allclose(text.pooled[:2], cut[1].encode_penultimate([LONGER, SHORT]).pooled, atol=1e-6)
    assert not text.states[2].any() and not text.pooled[2].any()
