from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
import torch

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.text import ClipText, T5Text

CPU = torch.device("cpu")
PROMPTS = ["a red cube, front view", "a dog", ""]


def _save(folder, tokenizer, encoder):
    tokenizer.save_pretrained(folder / "tokenizer")
    encoder.save_pretrained(folder / "text_encoder")
    kinds = {"tokenizer": type(tokenizer).__name__, "text_encoder": type(encoder).__name__}
    index = {name: ["transformers", kind] for name, kind in kinds.items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def clip_folder(tiny, tmp_path_factory):
    return _save(tmp_path_factory.mktemp("clip"), *tiny.clip(8, projection=6))


@pytest.fixture(scope="module")
def t5_folder(tiny, tmp_path_factory):
    return _save(tmp_path_factory.mktemp("t5"), *tiny.t5(8))


def _clip(folder):
    return ClipText.load(ModelFolder.open(str(folder)), dtype=torch.float32, device=CPU, is_projected=True)


def _t5(folder, *, is_masked=True, max_length=32):
    folder = ModelFolder.open(str(folder))
    return T5Text.load(folder, dtype=torch.float32, device=CPU, max_length=max_length, is_masked=is_masked)


@torch.no_grad()
def test_the_last_layer_but_one_becomes_the_last_by_one_layer_and_the_normalisation(clip_folder):
    text = _clip(clip_folder)
    embedding = text.encode_penultimate(PROMPTS)
    inner = text.encoder.text_model
    mask = torch.full((16, 16), float("-inf")).triu(1)[None, None]
    last = inner.final_layer_norm(inner.encoder.layers[-1](embedding.states, mask))
    assert torch.allclose(last, text.encode(PROMPTS).states, atol=1e-5)


@torch.no_grad()
def test_the_pooled_output_is_the_projected_end_of_the_prompt(clip_folder):
    text = _clip(clip_folder)
    ends = text.tokenize(PROMPTS).eq(text.tokenizer.eos_token_id).int().argmax(dim=1)
    states = text.encode(PROMPTS).states[torch.arange(3), ends]
    assert torch.allclose(text.encode_penultimate(PROMPTS).pooled, text.encoder.text_projection(states), atol=1e-5)


def test_a_mask_makes_t5_blind_for_the_padding(t5_folder):
    short, long = (_t5(t5_folder, max_length=length) for length in (24, 48))
    assert torch.allclose(short.encode(["a dog"]).states[:, :6], long.encode(["a dog"]).states[:, :6], atol=1e-5)
    short.is_masked = long.is_masked = False
    assert not torch.allclose(short.encode(["a dog"]).states[:, :6], long.encode(["a dog"]).states[:, :6], atol=1e-3)


def test_a_tokenizer_in_the_old_layout_reads_the_same(clip_folder, tmp_path):
    folder = shutil.copytree(clip_folder, tmp_path / "copy")
    fast = folder / "tokenizer" / "tokenizer.json"
    vocabulary = json.loads(fast.read_text())["model"]["vocab"]
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    fast.unlink()
    assert torch.equal(_clip(folder).tokenize(PROMPTS), _clip(clip_folder).tokenize(PROMPTS))


@pytest.mark.parametrize("load", [_clip, _t5])
def test_a_tokenizer_without_its_vocabulary_is_not_taken_for_an_empty_one(clip_folder, t5_folder, tmp_path, load):
    folder = shutil.copytree(clip_folder if load is _clip else t5_folder, tmp_path / "copy")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer/ holds no vocabulary \(tokenizer.json or"):
        load(folder)


def test_a_vocabulary_that_needs_another_package_names_it(t5_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(t5_folder, tmp_path / "copy")
    (folder / "tokenizer" / "tokenizer.json").rename(folder / "tokenizer" / "spiece.model")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install sentencepiece"):
        _t5(folder)


def test_a_tokenizer_that_cannot_be_read_is_reported(t5_folder, tmp_path):
    folder = shutil.copytree(t5_folder, tmp_path / "copy")
    (folder / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="its tokenizer could not be loaded"):
        _t5(folder)
