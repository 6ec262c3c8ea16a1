from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.pretrained import PretrainedPrior

CPU = torch.device("cpu")
PROMPTS = ["a red cube", "a dog, front view", ""]


def _load(folder, **options):
    return PretrainedPrior(PretrainedPrior.Config(model=str(folder), **options), device=CPU)


def _conditions(prior, views=None, camera=None):
    """Two samples of different prompts, each beside the unconditional row."""
    index = torch.tensor([[0, 1], [2, 2]])
    return Conditions(prior.encode_text(PROMPTS)[index], torch.ones(2, 2), views, camera)


def _noisy(prior, seed=0):
    return torch.randn(2, *prior.sample_shape, generator=torch.Generator().manual_seed(seed))


def _states(folder):
    """Hidden states of the prompts, straight from transformers."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    ids = tokenizer(PROMPTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return encoder(ids).last_hidden_state


@torch.no_grad()
def test_a_latent_model_answers_as_diffusers_does(latent_folder):
    prior = _load(latent_folder)
    noisy, timestep = _noisy(prior), torch.tensor([10, 700])
    raw = prior.predict(noisy, timestep, _conditions(prior)).raw
    unet = UNet2DConditionModel.from_pretrained(latent_folder / "unet").eval()
    states = _states(latent_folder)
    assert prior.space == "latent"
    assert torch.allclose(raw[0], unet(noisy, timestep, states[[0, 1]]).sample, atol=1e-5)
    assert torch.allclose(raw[1], unet(noisy, timestep, states[[2, 2]]).sample, atol=1e-5)


@torch.no_grad()
def test_each_condition_meets_its_own_sample(latent_folder):
    prior = _load(latent_folder)
    noisy, timestep, conditions = _noisy(prior), torch.tensor([10, 700]), _conditions(prior)
    together = prior.predict(noisy, timestep, conditions).raw
    for item in range(2):
        alone = Conditions(conditions.text[:, item : item + 1], torch.ones(2, 1))
        raw = prior.predict(noisy[[item]], timestep[[item]], alone).raw
        assert torch.allclose(together[:, [item]], raw, atol=1e-5)


@torch.no_grad()
def test_a_pixel_model_sees_blocks_of_pixels_as_channels(pixel_folder, views):
    prior = _load(pixel_folder)
    noisy, timestep = _noisy(prior), torch.tensor([10, 700])
    raw = prior.predict(noisy, timestep, _conditions(prior, views)).raw
    unet = UNet2DConditionModel.from_pretrained(pixel_folder / "unet").eval()
    blocks, nothing = F.pixel_unshuffle(noisy, 2), torch.zeros(2, 7)
    expected = unet(blocks, timestep, _states(pixel_folder)[[0, 1]], class_labels=nothing).sample
    assert prior.sample_shape == (3, 16, 16)
    assert torch.allclose(raw[0], F.pixel_shuffle(expected, 2), atol=1e-5)


@torch.no_grad()
def test_the_camera_is_told_only_where_it_is_present(pixel_folder, views):
    prior = _load(pixel_folder)
    noisy, timestep = _noisy(prior), torch.tensor([10, 700])
    present = torch.tensor([[True, False], [False, True]])
    raw = prior.predict(noisy, timestep, _conditions(prior, views, present)).raw
    without = prior.predict(noisy, timestep, _conditions(prior, views)).raw
    is_equal = torch.isclose(raw, without, atol=1e-6).flatten(2).all(dim=-1)
    assert torch.equal(is_equal, ~present)
    unet = UNet2DConditionModel.from_pretrained(pixel_folder / "unet").eval()
    azimuth, elevation = views.azimuth[0], views.elevation[0]
    known = [azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos(), views.cameras.fov_y[0], views.distance[0]]
    labels = torch.tensor([*known, 1.0])[None]
    blocks, states = F.pixel_unshuffle(noisy[:1], 2), _states(pixel_folder)[:1]
    expected = unet(blocks, timestep[:1], states, class_labels=labels).sample
    assert torch.allclose(raw[0, :1], F.pixel_shuffle(expected, 2), atol=1e-5)


def test_a_model_without_a_camera_says_so(latent_folder, pixel_folder):
    assert not _load(latent_folder).takes_camera
    assert _load(pixel_folder).takes_camera


def test_the_prediction_type_of_the_scheduler_is_obeyed(model_folder):
    for stated, meaning in [("epsilon", "epsilon"), ("v_prediction", "velocity"), ("sample", "sample")]:
        folder = model_folder(is_latent=False, scheduler={"prediction_type": stated})
        assert _load(folder).parameterization == meaning


@torch.no_grad()
def test_images_become_latents_as_diffusers_makes_them(latent_folder):
    prior = _load(latent_folder)
    images = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    autoencoder = AutoencoderKL.from_pretrained(latent_folder / "vae").eval()
    latents = autoencoder.encode(2.0 * images.permute(0, 3, 1, 2) - 1.0).latent_dist.mode()
    assert torch.allclose(prior.encode(images), (latents - 0.1) * 0.5, atol=1e-5)
    decoded = autoencoder.decode(latents).sample.permute(0, 2, 3, 1)
    assert torch.allclose(prior.decode((latents - 0.1) * 0.5), (0.5 * decoded + 0.5).clamp(0, 1), atol=1e-5)


def test_gradients_reach_the_image_through_the_autoencoder(latent_folder):
    images = torch.rand(1, 24, 24, 3, requires_grad=True)
    _load(latent_folder).encode(images).square().sum().backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().sum() > 0.0


@torch.no_grad()
def test_learned_variances_are_dropped(model_folder):
    folder = model_folder(is_latent=False, learns_variance=True)
    prior = _load(folder)
    noisy, timestep = _noisy(prior), torch.tensor([10, 700])
    raw = prior.predict(noisy, timestep, _conditions(prior)).raw
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    assert torch.allclose(raw[0], unet(noisy, timestep, _states(folder)[[0, 1]]).sample[:, :3], atol=1e-5)


@torch.no_grad()
def test_half_precision_weights_load_as_float32_on_a_cpu(model_folder):
    folder = model_folder(is_latent=True, dtype=torch.float16)
    prior = _load(folder, keep_text_encoder=True)
    assert prior.model.unet.dtype == prior.model.text.encoder.dtype == torch.float32
    assert prior.model.codec.autoencoder.dtype == torch.float32
    raw = prior.predict(_noisy(prior), torch.tensor([10, 700]), _conditions(prior)).raw
    assert raw.dtype == torch.float32


@torch.no_grad()
def test_a_lower_precision_is_used_where_asked_for_and_answers_in_float32(latent_folder):
    prior, reference = _load(latent_folder, dtype="bfloat16"), _load(latent_folder)
    timestep = torch.tensor([10, 700])
    assert prior.model.unet.dtype == torch.bfloat16
    raw = prior.predict(_noisy(prior), timestep, _conditions(prior)).raw
    expected = reference.predict(_noisy(prior), timestep, _conditions(reference)).raw
    assert raw.dtype == torch.float32
    assert (raw - expected).norm() < 0.05 * expected.norm()


def test_weights_are_frozen_and_dropout_is_off(latent_folder):
    model = _load(latent_folder, keep_text_encoder=True).model
    for part in (model.unet, model.text.encoder, model.codec.autoencoder):
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())


def test_a_prompt_that_is_cut_is_reported(latent_folder, caplog):
    _load(latent_folder).encode_text(["a very long prompt of many more bytes than the model reads"])
    assert "only 16 are read" in caplog.text


def test_values_of_another_range_are_scaled(model_folder):
    folder = model_folder(is_latent=False)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "value_range": [0, 1]}))
    prior = _load(folder)
    images = torch.rand(1, 8, 8, 3)
    assert torch.allclose(prior.encode(images), images.permute(0, 3, 1, 2), atol=1e-6)
    assert torch.allclose(prior.decode(prior.encode(images)), images, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 9}, "takes 9 channels where samples have 4"),
        ({"addition_embed_type": "text_time"}, "wants 'text_time' embeddings"),
        ({"num_class_embeds": 5}, "wants class labels"),
        ({"sample_size": None}, "does not state a sample_size"),
    ],
)
def test_a_unet_that_wants_more_than_it_would_get_is_refused(latent_folder, monkeypatch, change, message):
    real = UNet2DConditionModel.from_pretrained

    def altered(*arguments, **options):
        model, info = real(*arguments, **options)
        model.register_to_config(**change)
        return model, info

    monkeypatch.setattr(UNet2DConditionModel, "from_pretrained", altered)
    with pytest.raises(UserError, match=message):
        _load(latent_folder)
