from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusionImg2ImgPipeline
from diffusers.image_processor import VaeImageProcessor

from framework.core.errors import UserError
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")
# The config of a published one differs in its widths and depths; scaling and shift are as they stand there.
SCALING = {"scaling_factor": 1.0, "shift_factor": 0.0, "latent_magnitude": 3, "latent_shift": 0.5}


def _tiny_autoencoder(folder, *, channels=4, blocks=2, **config):
    torch.manual_seed(0)
    shape = {"encoder_block_out_channels": (8,) * blocks, "decoder_block_out_channels": (8,) * blocks}
    depth = {"num_encoder_blocks": (1,) * blocks, "num_decoder_blocks": (1,) * blocks}
    AutoencoderTiny(latent_channels=channels, **shape, **depth, **{**SCALING, **config}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[{}, {"scaling_factor": 0.7, "shift_factor": 0.2}], ids=["published", "scaled"])
def tiny_autoencoder(request, tmp_path_factory):
    with torch.random.fork_rng():
        return _tiny_autoencoder(tmp_path_factory.mktemp("tiny"), **request.param)


@pytest.fixture
def images():
    return torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))


def _load(folder, **settings):
    return PretrainedPrior(PretrainedPrior.Config(model=str(folder), **settings), device=CPU)


@torch.no_grad()
def test_a_tiny_autoencoder_sees_images_as_the_pipeline_with_it_does(latent_folder, tiny_autoencoder, images):
    prior = _load(latent_folder, autoencoder=str(tiny_autoencoder))
    autoencoder = AutoencoderTiny.from_pretrained(tiny_autoencoder).eval()
    pixels = VaeImageProcessor(vae_scale_factor=2).preprocess(images.permute(0, 3, 1, 2))
    # Without noise, and without a shift, which pipelines of Stable Diffusion do not know.
    stand_in = SimpleNamespace(vae=autoencoder, scheduler=SimpleNamespace(add_noise=lambda latents, noise, t: latents))
    generators = [torch.Generator(), torch.Generator()]
    encoded = StableDiffusionImg2ImgPipeline.prepare_latents(
        stand_in, pixels, None, 2, 1, torch.float32, CPU, generators
    )
    scale, shift = (autoencoder.config[name] for name in ("scaling_factor", "shift_factor"))
    assert torch.allclose(prior.encode(images), encoded - shift * scale, atol=1e-6)
    decoded = autoencoder.decode(prior.encode(images) / scale + shift).sample
    expected = VaeImageProcessor(vae_scale_factor=2).postprocess(decoded, output_type="pt").permute(0, 2, 3, 1)
    assert torch.allclose(prior.decode(prior.encode(images)), expected, atol=1e-6)
    assert expected.std() > 0.01, "images say nothing"


def test_gradients_reach_the_image_through_it(latent_folder, tiny_autoencoder, images):
    images.requires_grad_()
    _load(latent_folder, autoencoder=str(tiny_autoencoder)).encode(images).square().sum().backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().sum() > 0.0


def test_it_takes_the_place_of_the_models_own_which_is_not_read(latent_folder, tiny_autoencoder, tmp_path):
    folder = shutil.copytree(latent_folder, tmp_path / "copy")
    for weights in (folder / "vae").glob("*.safetensors"):
        weights.unlink()
    prior = _load(folder, autoencoder=str(tiny_autoencoder), image_size=24)
    assert isinstance(prior.model.codec.autoencoder, AutoencoderTiny)
    assert prior.sample_shape == (4, 12, 12)
    assert prior.model.codec.image_size == (24, 24)


@pytest.mark.parametrize(("channels", "blocks"), [(3, 2), (4, 3)])
def test_one_of_other_latents_is_refused(latent_folder, tmp_path, channels, blocks):
    other = _tiny_autoencoder(tmp_path / "tiny", channels=channels, blocks=blocks)
    pixels = 2 ** (blocks - 1)
    message = f"latents of {channels} channels, one for {pixels} pixels across; its own are of 4, one for 2"
    with pytest.raises(UserError, match=message):
        _load(latent_folder, autoencoder=str(other))


def test_one_of_another_kind_is_refused(latent_folder):
    with pytest.raises(UserError, match="in place of its vae is a AutoencoderKL; supported is AutoencoderTiny"):
        _load(latent_folder, autoencoder=str(latent_folder / "vae"))


def test_tiling_that_diffusers_cannot_do_is_refused(latent_folder, tiny_autoencoder):
    with pytest.raises(UserError, match="vae_tiling does not work with a tiny autoencoder that"):
        _load(latent_folder, autoencoder=str(tiny_autoencoder), vae_tiling=True)


def test_a_model_of_pixels_has_no_place_for_it(pixel_folder, tiny_autoencoder):
    with pytest.raises(UserError, match="has no autoencoder; remove `autoencoder`"):
        _load(pixel_folder, autoencoder=str(tiny_autoencoder))


def test_incomplete_files_of_it_are_named(latent_folder, tmp_path):
    other = _tiny_autoencoder(tmp_path / "tiny")
    (weights,) = other.glob("*.safetensors")
    weights.unlink()
    with pytest.raises(UserError, match=rf"Model '{other}': it holds no weights \(\*.safetensors\)"):
        _load(latent_folder, autoencoder=str(other))
    (other / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        _load(latent_folder, autoencoder=str(other))


def test_it_is_downloaded_by_its_hub_id_with_the_files_that_are_read(latent_folder, tiny_autoencoder, monkeypatch):
    asked = []

    def download(model, *, revision, allow_patterns, ignore_patterns, local_files_only):
        asked.append((model, allow_patterns))
        return str(tiny_autoencoder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    prior = _load(latent_folder, autoencoder="someone/taesd")
    assert prior.model.codec.autoencoder.config.scaling_factor == _config(tiny_autoencoder)["scaling_factor"]
    assert asked == [("someone/taesd", ["config.json", "diffusion_pytorch_model.safetensors"])]


def _config(folder):
    return json.loads((folder / "config.json").read_text())
