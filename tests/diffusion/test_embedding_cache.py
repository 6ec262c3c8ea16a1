from __future__ import annotations

import logging
import os
import shutil
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from framework.diffusion import embedding_cache
from framework.diffusion.embedding_cache import EmbeddingCache, cache_directory, text_key
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.text import HiddenStates, PooledStates
from framework.diffusion.pretrained import PretrainedPrior
from framework.diffusion.toybox import ToyboxPrior

CPU = torch.device("cpu")
PROMPTS = ["a red cube", "a dog", ""]


class Encoder:
    """Makes embeddings that tell the prompts apart, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, prompts):
        self.asked.append(list(prompts))
        codes = torch.tensor([[float(sum(map(ord, prompt))), float(len(prompt))] for prompt in prompts])
        return PooledStates(codes[:, None, :].repeat(1, 3, 1), codes + 1.0)


@pytest.fixture
def encoder():
    return Encoder()


@pytest.fixture
def folder(latent_folder, tmp_path):
    """A copy that may be changed, times of its files included."""
    return shutil.copytree(latent_folder, tmp_path / "copy")


def _cache(**key):
    return EmbeddingCache(PooledStates, key)


def _is_equal(first, second):
    return torch.equal(first.states, second.states) and torch.equal(first.pooled, second.pooled)


def _load(folder, **options):
    return PretrainedPrior(PretrainedPrior.Config(model=str(folder), **options), device=CPU)


def _key(folder):
    return text_key(ModelFolder.open(str(folder)), dtype=torch.float32)


def test_what_was_encoded_before_is_read_in_the_order_of_the_prompts(encoder):
    _cache(model="a").encode(PROMPTS, encoder, device=CPU)
    again = _cache(model="a").encode(PROMPTS[::-1], encoder, device=CPU)
    assert _is_equal(again, Encoder()(PROMPTS[::-1]))
    assert encoder.asked == [PROMPTS]


def test_only_prompts_that_are_not_there_are_encoded_each_once(encoder):
    _cache().encode(["a dog"], encoder, device=CPU)
    mixed = _cache().encode(["a cat", "a dog", "a cat"], encoder, device=CPU)
    assert encoder.asked == [["a dog"], ["a cat"]]
    assert _is_equal(mixed, Encoder()(["a cat", "a dog", "a cat"]))


def test_each_prompt_is_a_file_of_its_own_below_the_stated_directory(encoder, own_cache):
    cache = _cache()
    cache.encode(PROMPTS, encoder, device=CPU)
    files = {path.relative_to(own_cache).as_posix() for path in own_cache.rglob("*") if path.is_file()}
    assert files == {f"embeddings/{cache.path(prompt).name}" for prompt in PROMPTS}


@pytest.mark.parametrize("name", ["model", "dtype"])
def test_another_key_is_another_embedding(encoder, name):
    key = {"model": "a", "dtype": "b"}
    _cache(**key).encode(["a dog"], encoder, device=CPU)
    _cache(**{**key, name: "other"}).encode(["a dog"], encoder, device=CPU)
    assert len(encoder.asked) == 2


def test_another_record_is_another_embedding(encoder):
    _cache().encode(["a dog"], encoder, device=CPU)
    states = EmbeddingCache(HiddenStates, {}).encode(["a dog"], lambda _: HiddenStates(torch.ones(1, 2, 2)), device=CPU)
    assert isinstance(states, HiddenStates)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_precision_survives(dtype):
    def encode(prompts):
        return HiddenStates(torch.full((len(prompts), 2, 2), 0.3, dtype=dtype))

    cache = EmbeddingCache(HiddenStates, {})
    first = cache.encode(PROMPTS, encode, device=CPU)
    second = cache.encode(PROMPTS, lambda prompts: pytest.fail("encoded again"), device=CPU)
    assert second.states.dtype == dtype
    assert torch.equal(first.states, second.states)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a tensor"),
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: save_file(load_file(path), path),
        lambda path: save_file({"other": torch.zeros(1)}, path, metadata=_metadata(path)),
    ],
    ids=["empty", "no tensors", "cut short", "of an unknown prompt", "of another record"],
)
def test_a_file_that_cannot_be_read_is_written_anew(encoder, damage):
    cache = _cache()
    cache.encode(["a dog"], encoder, device=CPU)
    damage(cache.path("a dog"))
    assert _is_equal(cache.encode(["a dog"], encoder, device=CPU), Encoder()(["a dog"]))
    assert len(encoder.asked) == 2
    cache.encode(["a dog"], encoder, device=CPU)
    assert len(encoder.asked) == 2


def _metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_a_file_under_the_name_of_another_prompt_is_not_believed(encoder):
    cache = _cache()
    cache.encode(["a dog", "a cat"], encoder, device=CPU)
    shutil.copy(cache.path("a cat"), cache.path("a dog"))
    assert _is_equal(cache.encode(["a dog"], encoder, device=CPU), Encoder()(["a dog"]))


def test_a_write_that_fails_leaves_no_file_and_no_less_an_answer(encoder, monkeypatch, caplog, own_cache):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half of")
        raise OSError("no space left")

    monkeypatch.setattr(embedding_cache, "save_file", fail)
    assert _is_equal(_cache().encode(["a dog"], encoder, device=CPU), Encoder()(["a dog"]))
    assert "cannot be written: no space left" in caplog.text
    assert not [path for path in own_cache.rglob("*") if path.is_file()]


def test_characters_beyond_unicode_do_no_harm(encoder):
    for _ in range(2):
        _cache().encode(["caf\u00e9 \U0001f436 \ud800"], encoder, device=CPU)
    assert len(encoder.asked) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms keep caches elsewhere")
def test_the_directory_is_the_stated_one_or_that_of_the_platform(monkeypatch, tmp_path):
    assert str(cache_directory()) == os.environ["DISTILL3D_CACHE_DIR"]
    monkeypatch.delenv("DISTILL3D_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "distill3d"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "distill3d"


def test_a_folder_is_known_again_as_long_as_it_is_the_same(folder):
    assert _key(folder) == _key(folder)
    assert _key(folder) != _key(shutil.copytree(folder, folder.with_name("other")))


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
    ],
)
def test_a_text_file_is_compared_whole(folder, file):
    path, before = folder / file, _key(folder)
    status = path.stat()
    content = path.read_bytes()
    place = content.rindex(b"}")
    path.write_bytes(content[:place] + b" }" + content[place + 1 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert _key(folder) != before


def test_other_weights_of_the_text_encoder_are_noticed_by_their_time_or_their_end(folder):
    (weights,) = (folder / "text_encoder").glob("*.safetensors")
    before, status = _key(folder), weights.stat()
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert _key(folder) != before
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert _key(folder) != before


def test_weights_of_the_denoiser_do_not_matter(folder):
    before = _key(folder)
    (weights,) = (folder / "unet").glob("*.safetensors")
    os.utime(weights, ns=(1, 1))
    assert _key(folder) == before


def test_a_snapshot_of_the_hub_is_known_by_its_commit(folder, tmp_path):
    def key(commit, repository="someone/model"):
        path = tmp_path / commit / "snapshots" / commit
        if not path.exists():
            shutil.copytree(folder, path, copy_function=shutil.copyfile)
        opened = ModelFolder(path, "name", {"_class_name": "X"}, repository=repository)
        return text_key(opened, dtype=torch.float32)

    assert key("abc") == key("abc")
    assert len({tuple(key(*of).items()) for of in [("abc",), ("def",), ("abc", "else/model")]}) == 3
    assert "files" not in key("abc")


def test_precision_and_variant_are_part_of_the_key(folder):
    opened = ModelFolder.open(str(folder))
    assert text_key(opened, dtype=torch.float32) != text_key(opened, dtype=torch.bfloat16)
    named = ModelFolder(opened.path, opened.name, opened.index, variant="fp16")
    assert text_key(named, dtype=torch.float32)["variant"] == "fp16"


def test_a_second_prior_answers_without_its_text_encoder(folder, monkeypatch):
    first = _load(folder).encode_text(PROMPTS)
    prior = _load(folder)
    monkeypatch.setattr(prior.model, "encode_text", lambda prompts: pytest.fail("the text encoder was used"))
    assert torch.equal(prior.encode_text(PROMPTS).states, first.states)
    assert torch.equal(first.states, _load(folder, cache_embeddings=False).encode_text(PROMPTS).states)


def test_nothing_is_written_where_that_is_not_wanted(folder, own_cache):
    _load(folder, cache_embeddings=False).encode_text(PROMPTS)
    assert not own_cache.exists()
    _load(folder).encode_text(PROMPTS)
    assert len(list(own_cache.rglob("*.safetensors"))) == 3


def test_the_bundled_prior_keeps_its_encoder_and_writes_nothing(pixel_folder, tmp_path, own_cache):
    folder = shutil.copytree(pixel_folder, tmp_path / "prior")
    (folder / "card.json").write_text('{"vocabulary": []}')
    prior = ToyboxPrior(ToyboxPrior.Config(folder=str(folder)), device=CPU)
    prior.encode_text(PROMPTS)
    assert isinstance(prior.model.text.encoder, torch.nn.Module)
    assert not own_cache.exists()


def test_a_prompt_that_is_cut_is_reported_when_it_is_encoded(latent_folder, caplog):
    with caplog.at_level(logging.WARNING):
        _load(latent_folder).encode_text(["a prompt of many more bytes than sixteen"])
    assert "only 16 are read by CLIP" in caplog.text
