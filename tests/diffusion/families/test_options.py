"""Each option shows what it does: on every family's way of loading, or on the model that is quickest to build."""

from __future__ import annotations

import dataclasses
import shutil
from typing import get_args, get_type_hints

import pytest
import torch

from framework.core.errors import UserError
from framework.diffusion.adapters import Adapter, AdapterSettings
from framework.diffusion.conditions import Conditions
from framework.diffusion.families import options
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.options import KERNELS, AttentionKernel, LoadOptions
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")
TIMES = torch.tensor([10, 700])


@pytest.fixture(scope="module")
def plain(latent_folder):
    return _load(latent_folder)


def _load(folder, **settings):
    return PretrainedPrior(PretrainedPrior.Config(model=str(folder), cache_embeddings=False, **settings), device=CPU)


def _noisy(prior):
    return torch.randn(2, *prior.sample_shape, generator=torch.Generator().manual_seed(0))


def _conditions(prior):
    return Conditions(prior.encode_text(["a dog", ""])[torch.tensor([[0, 0], [1, 1]])], torch.ones(2, 2))


@torch.no_grad()
def _answer(prior):
    return prior.predict(_noisy(prior), TIMES, _conditions(prior)).raw


def _images(count, size):
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(0))


def _batches(module, run):
    """Shapes of what a module is given while `run` runs."""
    shapes = []
    handle = module.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    try:
        run()
    finally:
        handle.remove()
    return shapes


def test_every_field_is_a_setting_of_the_prior():
    settings = {field.name for field in dataclasses.fields(PretrainedPrior.Config)}
    assert {field.name for field in dataclasses.fields(LoadOptions)} - {"device"} <= settings


@pytest.mark.parametrize("kernel", ["flash", "math"])
def test_every_attention_kernel_answers_the_same(latent_folder, plain, kernel):
    prior = _load(latent_folder, attention_backend=kernel)
    assert torch.allclose(_answer(prior), _answer(plain), rtol=1e-4, atol=1e-4)


def test_a_kernel_that_the_device_does_not_have_is_refused(latent_folder):
    with pytest.raises(UserError, match=r"attention_backend 'cudnn' cannot compute in float32 on 'cpu'.*flash"):
        _load(latent_folder, attention_backend="cudnn")


def test_kernels_are_those_that_can_be_asked_for():
    asked = get_type_hints(PretrainedPrior.Config)["attention_backend"]
    assert asked == AttentionKernel | None
    assert get_args(AttentionKernel) == tuple(KERNELS)


def test_channels_lie_innermost_in_denoiser_and_autoencoder_where_asked_for(latent_folder, plain):
    prior = _load(latent_folder, channels_last=True)
    for ours, theirs in [
        (prior.model.unet.conv_in.weight, plain.model.unet.conv_in.weight),
        (prior.model.codec.autoencoder.encoder.conv_in.weight, plain.model.codec.autoencoder.encoder.conv_in.weight),
    ]:
        assert ours.stride()[1] == 1
        assert theirs.stride()[1] != 1
    assert torch.allclose(_answer(prior), _answer(plain), rtol=1e-4, atol=1e-4)


def test_weights_in_eight_bits_answer_nearly_the_same(latent_folder, plain):
    prior = _load(latent_folder, layerwise_storage="float8_e4m3fn")
    unet = prior.model.unet
    stored = [parameter for parameter in unet.parameters() if parameter.dtype == torch.float8_e4m3fn]
    assert sum(map(torch.numel, stored)) > 0.9 * sum(map(torch.numel, unet.parameters()))
    raw, expected = _answer(prior), _answer(plain)
    assert raw.dtype == torch.float32
    assert 1e-4 < (raw - expected).norm() / expected.norm() < 0.3
    assert {parameter.dtype for parameter in stored} == {torch.float8_e4m3fn}


def test_an_adapter_of_weights_that_move_is_refused(latent_folder):
    prior = _load(latent_folder, layerwise_storage="float8_e4m3fn")
    with pytest.raises(UserError, match="set `layerwise_storage` and `offload` of the prior to 'none'"):
        Adapter(prior, AdapterSettings(), generator=torch.Generator())


def test_offload_needs_a_gpu_and_says_so_before_anything_is_read(latent_folder, monkeypatch):
    monkeypatch.setattr(ModelFolder, "load", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(UserError, match=r"offload 'group' moves weights between a GPU.*device is 'cpu'. Use 'none'"):
        _load(latent_folder, offload="group")


def test_weights_that_are_offloaded_never_lie_on_the_gpu_together(latent_folder, monkeypatch):
    from diffusers import UNet2DConditionModel

    asked, real = [], ModelFolder.load
    monkeypatch.setattr(
        ModelFolder,
        "load",
        lambda self, *arguments, **named: asked.append(named["device"]) or real(self, *arguments, **named),
    )
    monkeypatch.setattr(
        UNet2DConditionModel, "enable_group_offload", lambda self, onload, offload, **_: asked.extend([onload, offload])
    )
    gpu = torch.device("cuda")
    loaded = options.load_denoiser(
        ModelFolder.open(str(latent_folder)),
        "unet",
        UNet2DConditionModel,
        dtype=torch.float32,
        options=LoadOptions(device=gpu, offload="group"),
    )
    assert asked == [CPU, gpu, CPU]
    assert loaded.device == CPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_offloaded_layers_answer_the_same_on_a_gpu(latent_folder):
    gpu = torch.device("cuda")
    answers = []
    for settings in ({}, {"offload": "group"}, {"offload": "group", "layerwise_storage": "float8_e4m3fn"}):
        config = PretrainedPrior.Config(model=str(latent_folder), dtype="float32", **settings)
        prior = PretrainedPrior(config, device=gpu)
        text = prior.encode_text(["a dog"])[torch.tensor([[0, 0]])]
        noisy = torch.ones(2, *prior.sample_shape, device=gpu)
        conditions = Conditions(text, torch.ones(1, 2, device=gpu))
        answers.append(prior.predict(noisy, torch.tensor([10, 700], device=gpu), conditions).raw)
        if settings:
            assert prior.model.unet.conv_in.weight.device == CPU
    assert torch.allclose(answers[0], answers[1], rtol=1e-3, atol=1e-3)
    assert (answers[2] - answers[0]).norm() < 0.3 * answers[0].norm()


def test_slices_are_single_images(latent_folder, plain):
    images = _images(3, 16)
    prior = _load(latent_folder, vae_slicing=True)
    for ours, count in [(prior, 3), (plain, 1)]:
        autoencoder = ours.model.codec.autoencoder
        assert len(_batches(autoencoder.encoder, lambda ours=ours: ours.encode(images))) == count
        latents = ours.encode(images)
        assert len(_batches(autoencoder.decoder, lambda ours=ours, latents=latents: ours.decode(latents))) == count
    assert torch.allclose(prior.encode(images), plain.encode(images), atol=1e-5)


def test_tiles_are_no_larger_than_the_images_of_the_training(latent_folder):
    images = _images(1, 64).requires_grad_()
    for tiled in (True, False):
        prior = _load(latent_folder, vae_tiling=tiled, image_size=64)
        autoencoder = prior.model.codec.autoencoder
        assert autoencoder.config.sample_size == 32
        largest = max(shape[-1] for shape in _batches(autoencoder.encoder, lambda prior=prior: prior.encode(images)))
        assert largest == (32 if tiled else 64)
        gradient = torch.autograd.grad(prior.encode(images).square().sum(), images)[0]
        assert gradient.abs().sum() > 0.0


@pytest.mark.parametrize("setting", [{"vae_slicing": True}, {"vae_tiling": True}])
def test_a_model_of_pixels_refuses_what_is_asked_of_an_autoencoder(pixel_folder, setting):
    (name,) = setting
    with pytest.raises(UserError, match=f"works on pixels and has no autoencoder; remove `{name}`"):
        _load(pixel_folder, **setting)


def test_loading_without_options_keeps_the_text_encoder(pixel_folder, tmp_path):
    folder = ModelFolder.open(str(shutil.copytree(pixel_folder, tmp_path / "copy")))
    model = UNetModel.load(folder, LoadOptions(device=CPU))
    shutil.rmtree(folder.path)
    assert len(model.encode_text(["a dog"])) == 1
