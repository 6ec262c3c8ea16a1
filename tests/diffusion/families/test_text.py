from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
import torch

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.text import ClipText, HiddenStates, PooledStates, T5Text

CPU = torch.device("cpu")
PROMPTS = ["a red cube, front view", "a dog", ""]
SHORT, LONG = (
    "a dog",
    "a big red cube on top of a green sphere",
)  # a tokenizer of bytes reads 14 of its 33 letters at once


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


def _clip(folder, **options):
    return ClipText.load(ModelFolder.open(str(folder)), dtype=torch.float32, device=CPU, is_projected=True, **options)


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


def test_what_is_cut_off_is_named_with_the_way_to_have_it_read(clip_folder, caplog):
    _clip(clip_folder, long_prompt="cut").tokenize([SHORT, "ab cde fghijklm nopq"])
    (record,) = caplog.records
    assert "'ab cde fghijklm nopq' has 19 tokens; only 16 are read by CLIP" in record.getMessage()
    assert "What is cut off: 'opq'" in record.getMessage()
    assert "`long_prompt` of the prior to 'chunk'" in record.getMessage()


def test_a_reader_that_leaves_no_choice_offers_none(clip_folder, t5_folder, caplog):
    _clip(clip_folder).tokenize([LONG])
    _t5(t5_folder, max_length=8).encode([LONG])
    assert len(caplog.records) == 2
    assert "long_prompt" not in caplog.text


def test_short_prompts_are_read_as_ever_where_long_ones_are_read_in_chunks(clip_folder, caplog):
    cut, chunked = _clip(clip_folder, long_prompt="cut"), _clip(clip_folder, long_prompt="chunk")
    assert chunked.num_chunks(SHORT) == chunked.num_chunks("") == 1
    ours, theirs = chunked.encode_penultimate([SHORT, ""]), cut.encode_penultimate([SHORT, ""])
    assert torch.equal(ours.states, theirs.states) and torch.equal(ours.pooled, theirs.pooled)
    assert torch.equal(chunked.encode([SHORT, ""]).states, cut.encode([SHORT, ""]).states)
    assert caplog.text == ""


def test_the_first_chunk_and_the_pooled_output_are_those_of_the_prompt_cut_off(clip_folder):
    cut, chunked = _clip(clip_folder, long_prompt="cut"), _clip(clip_folder, long_prompt="chunk")
    count = chunked.num_chunks(LONG)
    assert count == 3
    whole, start = chunked.encode_penultimate([LONG]), cut.encode_penultimate([LONG])
    assert whole.states.shape == (1, 3 * 16, 8)
    assert torch.allclose(whole.states[:, :16], start.states, atol=1e-6)
    assert torch.allclose(whole.pooled, start.pooled, atol=1e-6)
    assert torch.allclose(chunked.encode([LONG]).states[:, :16], cut.encode([LONG]).states, atol=1e-6)


def test_every_chunk_holds_the_words_that_follow_with_its_own_beginning_and_end(clip_folder):
    chunked = _clip(clip_folder, long_prompt="chunk")
    rows, count = chunked._rows([LONG])
    tokenizer = chunked.tokenizer
    assert (rows[:, 0] == tokenizer.bos_token_id).all()
    content = [row[1 : row.tolist().index(tokenizer.eos_token_id)].tolist() for row in rows]
    assert [token for piece in content for token in piece] == tokenizer(LONG, add_special_tokens=False).input_ids
    assert [len(piece) for piece in content[:-1]] == [14] * (count - 1)
    assert (rows[-1, len(content[-1]) + 2 :] == tokenizer.pad_token_id).all()


def test_short_and_empty_prompts_are_repeated_to_the_length_of_a_long_one(clip_folder):
    chunked = _clip(clip_folder, long_prompt="chunk")
    together, alone = chunked.encode_penultimate([LONG, SHORT, ""]), chunked.encode_penultimate([SHORT, ""])
    assert together.states.shape == (3, 48, 8)
    assert torch.allclose(together.states[1:], alone.states.repeat(1, 3, 1), atol=1e-6)
    assert torch.allclose(together.pooled[1:], alone.pooled, atol=1e-6)


def test_to_attend_to_repeated_states_is_to_attend_to_them_once():
    from diffusers.models.attention_processor import Attention

    attention = Attention(query_dim=8, cross_attention_dim=8, heads=2, dim_head=4)
    query, states = torch.randn(2, 5, 8), HiddenStates(torch.randn(2, 7, 8))
    assert torch.allclose(attention(query, states.repeated(3).states), attention(query, states.states), atol=1e-6)


def test_embeddings_of_different_lengths_are_concatenated_at_the_length_that_all_divide():
    two, three = (PooledStates(torch.randn(1, 4 * count, 8), torch.randn(1, 3)) for count in (2, 3))
    both = PooledStates.concatenate([two, three])
    assert torch.equal(both.states[:1], two.states.repeat(1, 3, 1))
    assert torch.equal(both.states[1:], three.states.repeat(1, 2, 1))
    assert torch.equal(both.pooled, torch.cat([two.pooled, three.pooled]))
    rows = [item[torch.zeros(1, 2, dtype=torch.long)] for item in (two, three)]  # (K, B) prompts
    assert PooledStates.concatenate(rows).states.shape == (2, 2, 24, 8)
