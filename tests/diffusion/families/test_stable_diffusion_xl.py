from __future__ import annotations

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.stable_diffusion_xl import StableDiffusionXL
from framework.diffusion.families.text import ClipText, PooledStates
from framework.diffusion.noise_schedule import NoiseSchedule

# What the published files say beside the defaults of diffusers: stabilityai/stable-diffusion-xl-base-1.0.
UNET = {
    "sample_size": 128,
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}
TEXT_2 = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
SMALL = {
    "sample_size": 8,
    "cross_attention_dim": 20,
    "attention_head_dim": [1, 2, 2],
    "block_out_channels": (4, 8, 8),
    "norm_num_groups": 2,
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 2, 2],
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 8,
}


def _pooled_of_the_first(patch, model):
    first, second = model.encoders
    real = second.encode_penultimate
    patch.setattr(
        second,
        "encode_penultimate",
        lambda prompts: dataclasses.replace(real(prompts), pooled=first.encode_penultimate(prompts).pooled),
    )


def _last_layer(patch, model):
    for text in model.encoders:
        real = text.encode_penultimate
        patch.setattr(
            text,
            "encode_penultimate",
            lambda prompts, text=text, real=real: dataclasses.replace(
                real(prompts), states=text.encode(prompts).states
            ),
        )


WIRINGS = {
    "pooled output of the first encoder": _pooled_of_the_first,
    "last layer of the text encoders": _last_layer,
    "one tokenizer for both encoders": lambda patch, model: patch.setattr(
        model.encoders[1], "tokenizer", model.encoders[0].tokenizer
    ),
    "empty prompt encoded": lambda patch, model: patch.setattr(model, "has_zero_unconditional", False),
    "sizes of the latents": lambda patch, model: patch.setattr(model, "time_ids", model.time_ids // 2),
    "crop before the size": lambda patch, model: patch.setattr(model, "time_ids", model.time_ids.roll(2)),
}
EMBEDDINGS = {
    "pooled swapped": lambda text: dataclasses.replace(text, pooled=text.pooled[[1, 0, 2]]),
    "second encoder first": lambda text: dataclasses.replace(text, states=text.states.roll(12, dims=-1)),
}


@pytest.fixture(scope="module")
def run(tiny, replay, latents):
    tokenizer, encoder = tiny.clip(8)
    tokenizer_2, encoder_2 = tiny.clip(12, projection=8, pad_token="!")
    pipeline = StableDiffusionXLPipeline(
        vae=tiny.autoencoder(4, scaling_factor=0.13025, force_upcast=True),
        text_encoder=encoder,
        text_encoder_2=encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=tiny.randomised(UNet2DConditionModel(**{**UNET, **SMALL})),
        scheduler=EulerDiscreteScheduler(**SCHEDULER),
        add_watermarker=False,
    )
    return replay(
        pipeline,
        latents=latents(2, 4, 8, 8),
        indices=[951 - 50 * step for step in range(20)],
        guidance_scale=3.0,
        options={"num_inference_steps": 20, "guidance_scale": 3.0},
    )


@pytest.fixture(scope="module")
def prior(run):
    return run.load()


def test_the_pipeline_is_replayed(run, prior):
    assert list(run.differences(prior)) == []


def test_weights_and_two_steps_pass_the_verification(run, verified):
    checks = verified(run)
    assert checks["weights"].passed, checks["weights"].summary
    assert checks["sampling"].passed, checks["sampling"].summary


def test_the_verification_notices_an_empty_prompt_that_is_encoded(run, verified):
    def spoil(prior):
        prior.model.has_zero_unconditional = False

    assert verified(run, spoil=spoil)["sampling"].passed is False


def test_the_first_call_is_replayed_in_half_precision(run):
    assert run.half_differences() == []


def test_the_first_call_is_replayed_with_embeddings_from_disk(run, monkeypatch):
    assert run.differences_from_disk(monkeypatch) == []


def test_every_option_has_an_effect(run):
    assert list(run.without_effect()) == []


def test_a_wrong_wiring_is_noticed(run, prior, monkeypatch, wiring):
    wiring(monkeypatch, prior.model)
    assert next(run.differences(prior), None) is not None


def test_the_published_model_has_its_size():
    with torch.device("meta"):
        unet, autoencoder = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2))
    assert [sum(value.numel() for value in part.parameters()) for part in (unet, autoencoder, encoder)] == [
        2_567_463_684,
        83_653_863,
        694_659_840,
    ]


@torch.no_grad()
def test_a_model_of_the_published_widths_answers():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**UNET, "layers_per_block": 1, "transformer_layers_per_block": 1})
        autoencoder = AutoencoderKL(**{**VAE, "layers_per_block": 1})
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(**{**TEXT_2, "num_hidden_layers": 1}))
    text = ClipText(SimpleNamespace(model_max_length=77), encoder, is_projected=True)
    model = StableDiffusionXL(
        unet,
        encoders=(text, text),
        codec=LatentCodec(autoencoder, 128, 128),
        schedule=NoiseSchedule.from_scheduler_config(SCHEDULER),
        parameterization="epsilon",
        has_zero_unconditional=True,
    )
    embedding = PooledStates(torch.empty(2, 1, 77, 2048, device="meta"), torch.empty(2, 1, 1280, device="meta"))
    conditions = Conditions(embedding, torch.ones(2, 1, device="meta"))
    noisy, timestep = torch.empty(1, 4, 128, 128, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    assert model.predict(noisy, timestep, conditions).raw.shape == (2, 1, 4, 128, 128)


def test_images_have_the_size_of_the_training_or_what_is_asked_for(run):
    assert run.load().model.codec.image_size == (16, 16)
    larger = run.load(image_size=24)
    assert larger.sample_shape == (4, 12, 12)
    assert larger.model.time_ids.tolist() == [[24, 24, 0, 0, 24, 24]]
    with pytest.raises(UserError, match="image_size 25 does not fit, because it works on blocks of 2 pixels"):
        run.load(image_size=25)


def test_embeddings_are_indexed_and_interpolated_with_their_pooled_part(prior):
    embedding = prior.encode_text(["a red cube", "a dog", ""])
    table = embedding[torch.tensor([[0, 1], [2, 2]])]
    assert table.states.shape == (2, 2, 16, 20)
    assert table.pooled.shape == (2, 2, 8)
    assert torch.equal(table.flatten().pooled, embedding.pooled[[0, 1, 2, 2]])
    middle = embedding[0].lerp(embedding[1], torch.tensor([0.5]))
    assert torch.allclose(middle.pooled, 0.5 * (embedding.pooled[:1] + embedding.pooled[1:2]), atol=1e-6)
    assert torch.allclose(middle.states, 0.5 * (embedding.states[:1] + embedding.states[1:2]), atol=1e-6)


def test_the_empty_prompt_is_zero_only_where_the_model_was_trained_so(run, prior, tmp_path):
    assert not prior.encode_text([""]).states.any()
    folder = shutil.copytree(run.folder, tmp_path / "copy")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": False}))
    encoded = dataclasses.replace(run, folder=folder).load().encode_text([""])
    assert encoded.states.all()
    assert encoded.pooled.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 9}, "in_channels = 9; supported is 4"),
        ({"time_cond_proj_dim": 8}, "time_cond_proj_dim = 8"),
        ({"sample_size": None}, "does not state a sample_size"),
        (
            {"projection_class_embeddings_input_dim": 50},
            "a vector of 50 numbers .* make 56; refiners are not supported",
        ),
    ],
)
def test_a_denoiser_that_wants_something_else_is_refused(run, monkeypatch, change, message):
    real = UNet2DConditionModel.from_pretrained

    def altered(*arguments, **options):
        model, info = real(*arguments, **options)
        model.register_to_config(**change)
        return model, info

    monkeypatch.setattr(UNet2DConditionModel, "from_pretrained", altered)
    with pytest.raises(UserError, match=message):
        run.load()
