from __future__ import annotations

import weakref

import pytest
import torch
from transformers import CLIPTextModel

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.stored import StoredModel
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")
IDS = torch.tensor([[3, 7, 1, 5]])


@pytest.fixture
def loaded(monkeypatch):
    """Weak references to the text models that were loaded."""
    references = []
    real = CLIPTextModel.from_pretrained

    def load(*arguments, **options):
        model, info = real(*arguments, **options)
        references.append(weakref.ref(model))
        return model, info

    monkeypatch.setattr(CLIPTextModel, "from_pretrained", load)
    return references


def _load(folder, **options):
    return PretrainedPrior(PretrainedPrior.Config(model=str(folder), **options), device=CPU)


@torch.no_grad()
def test_it_answers_as_the_model_that_stays_in_memory(latent_folder):
    folder = ModelFolder.open(str(latent_folder))
    stored = StoredModel(folder, "text_encoder", CLIPTextModel, dtype=torch.float32, device=CPU)
    kept = folder.load("text_encoder", CLIPTextModel, dtype=torch.float32, device=CPU)
    assert torch.equal(stored(IDS).last_hidden_state, kept(IDS).last_hidden_state)
    assert stored.config.max_position_embeddings == kept.config.max_position_embeddings == 16


@torch.no_grad()
def test_its_precision_is_the_one_that_was_asked_for(latent_folder):
    folder = ModelFolder.open(str(latent_folder))
    stored = StoredModel(folder, "text_encoder", CLIPTextModel, dtype=torch.bfloat16, device=CPU)
    assert stored(IDS).last_hidden_state.dtype == stored.dtype == torch.bfloat16


def test_text_encoders_are_read_when_they_are_needed_and_leave_memory_after_it(latent_folder, loaded):
    prior = _load(latent_folder)
    assert not loaded
    prior.encode_text(["a dog", ""])
    prior.encode_text(["a dog"])
    assert len(loaded) == 1
    prior.encode_text(["a cat"])
    assert len(loaded) == 2
    assert all(reference() is None for reference in loaded)


def test_text_encoders_stay_where_that_is_wanted(latent_folder, loaded):
    prior = _load(latent_folder, keep_text_encoder=True)
    prior.encode_text(["a dog"])
    prior.encode_text(["a cat"])
    assert len(loaded) == 1
    assert loaded[0]() is prior.model.text.encoder


def test_files_that_are_missing_are_found_before_any_prompt(model_folder, loaded):
    folder = model_folder(is_latent=True)
    (weights,) = (folder / "text_encoder").glob("*.safetensors")
    weights.unlink()
    with pytest.raises(UserError, match="text_encoder/ holds no weights"):
        _load(folder)
    assert not loaded
