from __future__ import annotations

import json
import shutil
import socket

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")


@pytest.fixture
def folder(latent_folder, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(latent_folder, tmp_path / "copy")


def _load(model, **options):
    return PretrainedPrior(PretrainedPrior.Config(model=str(model), **options), device=CPU)


def _edit_index(folder, **changes):
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_that_does_not_exist_is_named_with_the_alternatives():
    with pytest.raises(UserError, match=r"no model folder at './nowhere'.*'prior: oracle'"):
        _load("./nowhere")


def test_a_folder_without_an_index_is_incomplete(tmp_path):
    with pytest.raises(UserError, match=r"model_index.json is missing; the folder is incomplete"):
        _load(tmp_path)


def test_an_index_that_does_not_parse_is_reported(folder):
    (folder / "model_index.json").write_text("{")
    with pytest.raises(UserError, match=r"model_index.json cannot be read"):
        _load(folder)


@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(UserError, match=f"{file} is missing"):
        _load(folder)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_missing_weights_are_named(folder, component):
    for path in (folder / component).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match=rf"{component}/ holds no weights"):
        _load(folder)


def test_pickled_weights_are_refused_and_never_opened(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(UserError, match=r"unet/ holds pickled weights only .*refused.*safe_serialization=True"):
        _load(folder)


def test_pickled_weights_are_not_opened_beside_other_safetensors(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.rename(weights.with_name("other.safetensors"))
    with pytest.raises(UserError, match="its unet could not be loaded"):
        _load(folder)


def test_weights_that_are_cut_short_are_reported(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="its unet could not be loaded"):
        _load(folder)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_weights_that_are_cut_short_are_reported_without_reading_them(folder, component):
    (weights,) = (folder / component).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match=f"its {component} could not be loaded: .*safetensors"):
        ModelFolder.open(str(folder)).check(component)


def test_a_missing_file_of_several_is_reported(folder):
    (weights,) = (folder / "text_encoder").glob("*.safetensors")
    weights.rename(weights.with_name("model-00001-of-00002.safetensors"))
    with pytest.raises(UserError, match="text_encoder/ holds 1 of 2 files of weights"):
        _load(folder)


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_weights_that_lack_a_tensor_are_not_filled_with_random_numbers(folder, component):
    (path,) = (folder / component).glob("*.safetensors")
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"weights of its {component} are incomplete: 1 tensors are missing"):
        _load(folder).encode_text([""])


def test_a_class_that_is_not_supported_is_named_with_those_that_are(folder):
    _edit_index(folder, text_encoder=["transformers", "T5EncoderModel"])
    with pytest.raises(UserError, match=r"text_encoder is a T5EncoderModel, .*Supported: CLIPTextModel"):
        _load(folder)


def test_a_model_with_another_denoiser_is_refused(folder):
    _edit_index(folder, unet=[None, None], transformer=["diffusers", "FluxTransformer2DModel"])
    with pytest.raises(UserError, match=r"has no component 'unet'.*UNet2DConditionModel"):
        _load(folder)


def test_a_model_with_two_text_encoders_is_refused(folder):
    _edit_index(folder, text_encoder_2=["transformers", "CLIPTextModelWithProjection"])
    with pytest.raises(UserError, match="two text encoders"):
        _load(folder)


def test_a_variant_is_read_and_a_missing_one_is_named_with_those_there_are(model_folder):
    folder = model_folder(is_latent=True, variant="fp16", dtype=torch.float16)
    assert _load(folder, variant="fp16").sample_shape == (4, 8, 8)
    with pytest.raises(UserError, match=r"does not hold weights without a variant.*'fp16'"):
        _load(folder)
    with pytest.raises(UserError, match="does not hold the variant 'bf16'"):
        _load(folder, variant="bf16")


def test_a_folder_is_read_without_the_network(folder, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a local folder must not touch the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert _load(folder).space == "latent"


def test_a_hub_id_is_downloaded_and_then_read_as_a_folder(folder, monkeypatch):
    asked = []

    def download(model, *, revision, allow_patterns, ignore_patterns, local_files_only):
        asked.append((model, revision, local_files_only))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert _load("someone/model", revision="v2").space == "latent"
    assert _load("someone/model", local_files_only=True).space == "latent"
    assert asked == [("someone/model", "v2", False), ("someone/model", None, True)]


def test_a_hub_id_that_cannot_be_had_is_named_with_the_alternatives(monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match=r"'someone/model' could not be downloaded from the hub: no connection.*toybox"):
        _load("someone/model")
