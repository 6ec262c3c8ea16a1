from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.stable_diffusion_3 import StableDiffusion3
from framework.diffusion.families.text import ClipText, PooledStates
from framework.diffusion.noise_schedule import NoiseSchedule

# What the published files say beside the defaults of diffusers, and the size of their weights in numbers, the table of
# positions included: stabilityai/stable-diffusion-3-medium, 3.5-medium and 3.5-large.
MEDIUM = {
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 192,
}
MEDIUM_35 = {
    **MEDIUM,
    "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
    "dual_attention_layers": tuple(range(13)),
}
LARGE_35 = {
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
    "pos_embed_max_size": 192,
    "qk_norm": "rms_norm",
}
PUBLISHED = [(MEDIUM, 2_084_951_104), (MEDIUM_35, 2_469_663_936), (LARGE_35, 8_146_280_768)]
VAE = {
    "latent_channels": 16,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
}
SCHEDULER = {"shift": 3.0}
SMALL = {
    "sample_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "caption_projection_dim": 16,
    "joint_attention_dim": 28,
    "pooled_projection_dim": 16,
    "pos_embed_max_size": 8,
}


def _t5_length(length):
    return lambda patch, model: patch.setattr(model.t5, "max_length", length)


def _masked(patch, model):
    patch.setattr(model.t5, "is_masked", True)


WIRINGS = {
    "shift factor forgotten": lambda patch, model: patch.setattr(model.codec, "_shift", 0.0),
    "schedule without its shift": lambda patch, model: patch.setattr(
        model, "schedule", NoiseSchedule.rectified_flow(1000)
    ),
    "times between 0 and 1": lambda patch, model: patch.setattr(
        model, "schedule", dataclasses.replace(model.schedule, times=model.schedule.sigmas)
    ),
    "encoders of CLIP swapped": lambda patch, model: patch.setattr(model, "clips", model.clips[::-1]),
    "padding hidden from T5": _masked,
    "too few tokens of T5": _t5_length(77),
    "T5 left out": lambda patch, model: patch.setattr(model, "t5", None),
}
EMBEDDINGS = {
    "pooled swapped": lambda text: dataclasses.replace(text, pooled=text.pooled[[1, 0, 2]]),
    "pooled of the second encoder first": lambda text: dataclasses.replace(text, pooled=text.pooled.roll(8, dims=-1)),
    "T5 before CLIP": lambda text: dataclasses.replace(text, states=text.states.roll(-16, dims=-2)),
    "CLIP padded in front": lambda text: dataclasses.replace(
        text, states=torch.cat([text.states[:, :16].roll(8, dims=-1), text.states[:, 16:]], dim=1)
    ),
}


def _pipeline(tiny, config, *, has_t5=True):
    tokenizer, encoder = tiny.clip(8, projection=8)
    tokenizer_2, encoder_2 = tiny.clip(12, projection=8, pad_token="!")
    tokenizer_3, encoder_3 = tiny.t5(28) if has_t5 else (None, None)
    autoencoder = {
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
    }
    return StableDiffusion3Pipeline(
        vae=tiny.autoencoder(16, **autoencoder),
        text_encoder=encoder,
        text_encoder_2=encoder_2,
        text_encoder_3=encoder_3,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        tokenizer_3=tokenizer_3,
        transformer=tiny.randomised(SD3Transformer2DModel(**{**config, **SMALL})),
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
    )


def _run(pipeline, replay, latents):
    indices = [999 - 50 * step for step in range(20)]
    return replay(
        pipeline,
        latents=latents(2, 16, 8, 8),
        indices=indices,
        guidance_scale=3.0,
        # The scheduler shifts these; they are the timesteps of training before their shift.
        options={"guidance_scale": 3.0, "sigmas": [(index + 1) / 1000 for index in indices], "num_inference_steps": 20},
    )


@pytest.fixture(scope="module")
def run(tiny, replay, latents):
    return _run(_pipeline(tiny, MEDIUM), replay, latents)


@pytest.fixture(scope="module")
def prior(run):
    return run.load()


def test_the_pipeline_is_replayed(run, prior):
    assert list(run.differences(prior)) == []


@pytest.mark.parametrize(("config", "has_t5"), [(MEDIUM, False), (MEDIUM_35, True)], ids=["without T5", "3.5"])
def test_pipelines_without_t5_and_with_normalised_and_dual_attention_are_replayed(
    tiny, replay, latents, config, has_t5
):
    run = _run(_pipeline(tiny, {**config, "dual_attention_layers": (0,)}, has_t5=has_t5), replay, latents)
    assert list(run.differences(run.load())) == []


def test_weights_and_two_steps_pass_the_verification(run, verified):
    checks = verified(run)
    assert checks["weights"].passed, checks["weights"].summary
    assert checks["sampling"].passed, checks["sampling"].summary


def test_the_first_call_is_replayed_in_half_precision(run):
    assert run.half_differences() == []


def test_the_first_call_is_replayed_with_embeddings_from_disk(run, monkeypatch):
    assert run.differences_from_disk(monkeypatch) == []


def test_every_option_has_an_effect(run):
    assert list(run.without_effect()) == []


def test_a_wrong_wiring_is_noticed(run, prior, monkeypatch, wiring):
    wiring(monkeypatch, prior.model)
    assert next(run.differences(prior), None) is not None


@pytest.mark.parametrize(("config", "size"), PUBLISHED, ids=["medium", "3.5 medium", "3.5 large"])
def test_published_models_have_their_size(config, size):
    with torch.device("meta"):
        transformer, autoencoder = SD3Transformer2DModel(**config), AutoencoderKL(**VAE)
    assert sum(value.numel() for value in transformer.state_dict().values()) == size
    assert sum(value.numel() for value in autoencoder.parameters()) == 83_819_683


@torch.no_grad()
@pytest.mark.parametrize("config", [MEDIUM, MEDIUM_35, LARGE_35], ids=["medium", "3.5 medium", "3.5 large"])
def test_models_of_the_published_widths_answer(config):
    with torch.device("meta"):
        transformer = SD3Transformer2DModel(**{**config, "num_layers": 2})
        autoencoder = AutoencoderKL(**{**VAE, "layers_per_block": 1})
    unused = SimpleNamespace(model_max_length=77, config=SimpleNamespace(max_position_embeddings=77))
    model = StableDiffusion3(
        transformer,
        clips=(ClipText(unused, unused), ClipText(unused, unused)),
        t5=None,
        codec=LatentCodec(autoencoder, 128, 128),
        schedule=NoiseSchedule.from_scheduler_config({"_class_name": "FlowMatchEulerDiscreteScheduler", **SCHEDULER}),
        parameterization="flow",
    )
    embedding = PooledStates(
        torch.empty(2, 1, 77 + 256, 4096, device="meta"), torch.empty(2, 1, 768 + 1280, device="meta")
    )
    conditions = Conditions(embedding, torch.ones(2, 1, device="meta"))
    noisy, timestep = torch.empty(1, 16, 128, 128, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    assert model.predict(noisy, timestep, conditions).raw.shape == (2, 1, 16, 128, 128)


def test_the_shift_of_the_scheduler_is_that_of_the_training(prior):
    schedule, reference = prior.schedule, FlowMatchEulerDiscreteScheduler(**SCHEDULER)
    assert torch.allclose(schedule.sigmas.flip(0), reference.sigmas[:1000], atol=1e-6)
    assert schedule.sigmas[499] == pytest.approx(0.75)


def test_images_have_the_size_of_the_training_or_what_is_asked_for(run):
    assert run.load().model.codec.image_size == (16, 16)
    assert run.load(image_size=24).sample_shape == (16, 12, 12)
    with pytest.raises(UserError, match="image_size 26 does not fit, because it works on blocks of 4 pixels"):
        run.load(image_size=26)
    with pytest.raises(UserError, match="positions up to latents of 16 x 16; use a smaller image_size"):
        run.load(image_size=36)


def test_a_scheduler_of_another_kind_is_refused(run, monkeypatch):
    monkeypatch.setattr(
        "framework.diffusion.families.stable_diffusion_3.load_schedule",
        lambda folder: (NoiseSchedule.linear(1000), "epsilon"),
    )
    with pytest.raises(UserError, match="not one of rectified flow"):
        run.load()


def test_prompts_are_never_read_in_chunks(run, caplog):
    prior = run.load(long_prompt="chunk", image_size=16)
    assert "long_prompt 'chunk' is ignored: this model reads 256 tokens of T5" in caplog.text
    assert prior.encode_text(["a " * 600]).states.shape == prior.encode_text(["a"]).states.shape
