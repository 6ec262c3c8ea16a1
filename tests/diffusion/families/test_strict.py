"""Strict loading: what is missing and what is left over, by name."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.strict import components_with_weights, load_strictly


@pytest.fixture
def folder(latent_folder, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(latent_folder, tmp_path / "copy")


def _load(folder, component):
    return load_strictly(ModelFolder.open(str(folder)), component, dtype=torch.float32)


def _change(folder, component, change):
    (path,) = (folder / component).glob("*.safetensors")
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_every_component_with_weights_is_complete_and_uses_them_all(latent_folder):
    folder = ModelFolder.open(str(latent_folder))
    assert sorted(components_with_weights(folder)) == ["text_encoder", "unet", "vae"]
    for name in components_with_weights(folder):
        loaded = _load(latent_folder, name)
        (path,) = (latent_folder / name).glob("*.safetensors")
        tensors = load_file(path)
        assert (loaded.missing, loaded.unexpected, loaded.tensors) == ((), (), len(tensors))
        assert loaded.values == sum(value.numel() for value in tensors.values())


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_missing_and_left_over_tensors_are_named(folder, component, caplog):
    gone = []

    def change(tensors):
        gone.append(next(name for name in sorted(tensors) if name.endswith("weight")))
        del tensors[gone[0]]
        tensors["other.weight"] = torch.zeros(2)

    _change(folder, component, change)
    loaded = _load(folder, component)
    assert loaded.missing == (gone[0],)
    assert loaded.unexpected == ("other.weight",)
    assert caplog.text == ""  # The libraries' own reports would say it again.


def test_leftovers_of_old_encoders_that_the_library_knows_of_do_not_count(folder):
    _change(folder, "text_encoder", lambda tensors: tensors.update({"embeddings.position_ids": torch.zeros(1, 16)}))
    assert _load(folder, "text_encoder").unexpected == ()


def test_a_class_of_another_library_is_refused(folder):
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vae": ["os", "system"]}))
    with pytest.raises(UserError, match="its vae is a system of os, which does not exist here"):
        _load(folder, "vae")
