"""Stable Diffusion 1 and 2; what else the family of UNets with one CLIP encoder does is tested beside."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.text import ClipText, HiddenStates
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.noise_schedule import NoiseSchedule

# What the published files say beside the defaults of diffusers: stable-diffusion-v1-5 and stable-diffusion-2-1.
UNET_1 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
UNET_2 = {
    "sample_size": 96,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
TEXT_1 = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
TEXT_2 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
    "hidden_act": "gelu",
}
PUBLISHED = [(UNET_1, 859_520_964, TEXT_1, 123_060_480), (UNET_2, 865_910_724, TEXT_2, 340_387_840)]
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
# Deterministic down to the clean sample.
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "clip_sample": False,
}
SCHEDULER_2 = {**SCHEDULER, "prediction_type": "v_prediction"}
ZERO_SNR = {**SCHEDULER_2, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
SMALL = {
    "sample_size": 8,
    "block_out_channels": (4, 8, 8, 8),
    "norm_num_groups": 2,
    "layers_per_block": 1,
    "cross_attention_dim": 8,
}
LEADING = [951 - 50 * step for step in range(20)]
TRAILING = [999 - 50 * step for step in range(20)]


WIRINGS = {
    "last layer but one": lambda patch, model: patch.setattr(
        model, "encode_text", lambda prompts: HiddenStates(model.text.encode_penultimate(prompts).states)
    ),
    "linear betas": lambda patch, model: patch.setattr(model, "schedule", NoiseSchedule.linear(1000)),
    "too few tokens": lambda patch, model: patch.setattr(model.text, "max_length", 12),
    "velocity": lambda patch, model: patch.setattr(model, "parameterization", "velocity"),
}
EMBEDDINGS = {"tokens in another order": lambda text: HiddenStates(text.states.roll(1, dims=1))}


def _run(tiny, replay, latents, config, scheduler, indices, pad_token="<|endoftext|>"):
    tokenizer, encoder = tiny.clip(8, pad_token=pad_token)
    heads = {"attention_head_dim": 2 if config is UNET_1 else [1, 2, 2, 2]}
    pipeline = StableDiffusionPipeline(
        vae=tiny.autoencoder(4, scaling_factor=0.18215),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=tiny.randomised(UNet2DConditionModel(**{**config, **SMALL, **heads})),
        scheduler=DDIMScheduler(**scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return replay(
        pipeline,
        latents=latents(2, 4, 8, 8),
        indices=indices,
        guidance_scale=3.0,
        options={"num_inference_steps": 20, "guidance_scale": 3.0},
    )


@pytest.fixture(scope="module")
def run(tiny, replay, latents):
    return _run(tiny, replay, latents, UNET_1, SCHEDULER, LEADING)


@pytest.fixture(scope="module")
def prior(run):
    return run.load()


def test_the_pipeline_is_replayed(run, prior):
    assert list(run.differences(prior)) == []


@pytest.mark.parametrize(
    ("scheduler", "indices"), [(SCHEDULER_2, LEADING), (ZERO_SNR, TRAILING)], ids=["velocity", "zero terminal SNR"]
)
def test_pipelines_that_predict_velocities_are_replayed(tiny, replay, latents, scheduler, indices):
    run = _run(tiny, replay, latents, UNET_2, scheduler, indices, pad_token="!")
    assert list(run.differences(run.load())) == []


def test_weights_and_two_steps_pass_the_verification(run, verified):
    checks = verified(run)
    assert checks["weights"].passed, checks["weights"].summary
    assert checks["sampling"].passed, checks["sampling"].summary


def test_the_verification_notices_two_steps_that_end_elsewhere(run, verified):
    def spoil(prior):
        prior.schedule = prior.model.schedule = NoiseSchedule.linear(1000)

    check = verified(run, spoil=spoil)["sampling"]
    assert check.passed is False
    assert check.figures["max_abs_difference"] > 10.0 * check.figures["tolerance"]


def test_the_first_call_is_replayed_in_half_precision(run):
    assert run.half_differences() == []


def test_the_first_call_is_replayed_with_embeddings_from_disk(run, monkeypatch):
    assert run.differences_from_disk(monkeypatch) == []


def test_every_option_has_an_effect(run):
    assert list(run.without_effect()) == []


def test_a_wrong_wiring_is_noticed(run, prior, monkeypatch, wiring):
    wiring(monkeypatch, prior.model)
    assert next(run.differences(prior), None) is not None


@pytest.mark.parametrize(("config", "size", "text", "text_size"), PUBLISHED, ids=["1.5", "2.1"])
def test_published_models_have_their_size(config, size, text, text_size):
    with torch.device("meta"):
        unet, autoencoder = UNet2DConditionModel(**config), AutoencoderKL(**VAE)
        encoder = CLIPTextModel(CLIPTextConfig(**text))
    sizes = [sum(value.numel() for value in part.parameters()) for part in (unet, encoder, autoencoder)]
    assert sizes == [size, text_size, 83_653_863]


@torch.no_grad()
@pytest.mark.parametrize(("config", "text"), [(UNET_1, TEXT_1), (UNET_2, TEXT_2)], ids=["1.5", "2.1"])
def test_models_of_the_published_widths_answer(config, text):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**config, "layers_per_block": 1})
        autoencoder = AutoencoderKL(**{**VAE, "layers_per_block": 1})
        encoder = CLIPTextModel(CLIPTextConfig(**{**text, "num_hidden_layers": 1}))
    model = UNetModel(
        unet,
        text=ClipText(SimpleNamespace(model_max_length=77), encoder),
        codec=LatentCodec(autoencoder, 64, 64),
        schedule=NoiseSchedule.from_scheduler_config(SCHEDULER),
        parameterization="epsilon",
    )
    embedding = HiddenStates(torch.empty(2, 1, 77, text["hidden_size"], device="meta"))
    conditions = Conditions(embedding, torch.ones(2, 1, device="meta"))
    noisy, timestep = torch.empty(1, 4, 64, 64, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    assert model.predict(noisy, timestep, conditions).raw.shape == (2, 1, 4, 64, 64)
