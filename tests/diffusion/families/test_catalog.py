from __future__ import annotations

import json
import shutil

import diffusers
import pytest
import torch

from framework.core.errors import UserError
from framework.diffusion.families.catalog import FAMILIES, family_of, load_model
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel
from framework.diffusion.families.options import LoadOptions
from framework.diffusion.families.unet import UNetModel

CPU = torch.device("cpu")
OWN = {"PixelTextToImagePipeline"}


@pytest.fixture
def folder(latent_folder, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(latent_folder, tmp_path / "copy")


def _with_class(folder, name):
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "_class_name": name}))
    return ModelFolder.open(str(folder))


@pytest.mark.parametrize("name", FAMILIES)
def test_each_pipeline_has_a_family_and_is_one_of_diffusers(folder, name):
    assert issubclass(family_of(_with_class(folder, name)), TextToImageModel)
    assert name in OWN or issubclass(getattr(diffusers, name), diffusers.DiffusionPipeline)


def test_a_pipeline_that_no_family_reads_is_named_with_those_that_are_known(folder):
    with pytest.raises(UserError, match=r"is a KolorsPipeline, which is not supported.*StableDiffusionXLPipeline"):
        load_model(_with_class(folder, "KolorsPipeline"), LoadOptions(device=CPU))
    with pytest.raises(UserError, match=r"does not name its pipeline \(_class_name\)"):
        load_model(_with_class(folder, None), LoadOptions(device=CPU))


def test_the_precision_is_chosen_by_the_device_and_the_family(folder, monkeypatch):
    asked = []
    model = load_model(ModelFolder.open(str(folder)), LoadOptions(device=CPU))

    def load(folder, *, dtype, options):
        asked.append(dtype)
        return model

    monkeypatch.setattr(UNetModel, "_load", load)
    folder = ModelFolder.open(str(folder))
    for device, dtype in [("cpu", None), ("cuda", None), ("cuda", torch.bfloat16), ("cpu", torch.float16)]:
        load_model(folder, LoadOptions(device=torch.device(device), dtype=dtype))
    assert asked == [torch.float32, torch.float16, torch.bfloat16, torch.float16]


def test_families_that_overflow_in_float16_are_read_in_bfloat16(folder):
    halves = {name: family_of(_with_class(folder, name)).half for name in FAMILIES}
    assert halves["FluxPipeline"] == halves["StableDiffusion3Pipeline"] == torch.bfloat16
    assert halves["StableDiffusionPipeline"] == halves["StableDiffusionXLPipeline"] == torch.float16


def test_a_scheduler_with_preconditioning_is_refused(folder):
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "EDMEulerScheduler"}))
    with pytest.raises(UserError, match="its scheduler is a EDMEulerScheduler, whose preconditioning is not supported"):
        load_model(ModelFolder.open(str(folder)), LoadOptions(device=CPU))


def test_an_autoencoder_that_normalises_its_channels_is_refused(folder):
    path = folder / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "latents_mean": [0.1, 0.2, 0.3, 0.4]}))
    with pytest.raises(UserError, match="its vae normalises each channel of the latents on its own"):
        load_model(ModelFolder.open(str(folder)), LoadOptions(device=CPU))


def test_images_of_another_size_are_asked_for_in_pixels(latent_folder, pixel_folder):
    for path, shape in [(latent_folder, (4, 12, 12)), (pixel_folder, (3, 24, 24))]:
        model = load_model(ModelFolder.open(str(path)), LoadOptions(device=CPU, image_size=24))
        assert model.codec.sample_shape == shape
        with pytest.raises(UserError, match="image_size 25 does not fit"):
            load_model(ModelFolder.open(str(path)), LoadOptions(device=CPU, image_size=25))
