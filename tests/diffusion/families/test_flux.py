from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.flux import Flux, pack, unpack
from framework.diffusion.families.text import ClipText, PooledStates, T5Text
from framework.diffusion.noise_schedule import NoiseSchedule

# What the published files say beside the defaults of diffusers: black-forest-labs/FLUX.1-dev and FLUX.1-schnell.
DEV, SCHNELL = {"guidance_embeds": True}, {"guidance_embeds": False}
PUBLISHED = [(DEV, 11_901_408_320), (SCHNELL, 11_891_178_560)]
VAE = {
    "latent_channels": 16,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
SCHEDULER = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
SCHEDULER_SCHNELL = {**SCHEDULER, "shift": 1.0, "use_dynamic_shifting": False}
SMALL = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "axes_dims_rope": (4, 6, 6),
    "joint_attention_dim": 12,
    "pooled_projection_dim": 8,
}
GUIDANCE_SCALE = 4.5


def _blocks_first(patch, model):
    """Rows and columns of a block before its channels."""
    patch.setattr(
        "framework.diffusion.families.flux.pack",
        lambda latents: pack(latents).unflatten(2, (4, 4)).transpose(2, 3).flatten(2),
    )


def _transposed_outputs(patch, model):
    patch.setattr(
        "framework.diffusion.families.flux.unpack",
        lambda tokens, **size: unpack(tokens, **size).transpose(2, 3),
    )


WIRINGS = {
    "conditions before samples": None,
    "unconditional and conditional swapped": None,
    "shift factor forgotten": lambda patch, model: patch.setattr(model.codec, "_shift", 0.0),
    "schedule shifted": lambda patch, model: patch.setattr(
        model, "schedule", NoiseSchedule.rectified_flow(1000, shift=3.0)
    ),
    "latents packed block first": _blocks_first,
    "outputs transposed": _transposed_outputs,
    "columns before rows": lambda patch, model: patch.setattr(model, "image_ids", model.image_ids[:, [0, 2, 1]]),
    "tokens without places": lambda patch, model: patch.setattr(model, "image_ids", torch.zeros_like(model.image_ids)),
    "guidance left at its default": lambda patch, model: patch.setattr(model, "embedded_guidance_scale", 3.5),
    "guidance times 1000": lambda patch, model: patch.setattr(
        model, "embedded_guidance_scale", 1000.0 * GUIDANCE_SCALE
    ),
    "padding hidden from T5": lambda patch, model: patch.setattr(model.t5, "is_masked", True),
    "too few tokens of T5": lambda patch, model: patch.setattr(model.t5, "max_length", 256),
}
EMBEDDINGS = {
    "pooled swapped": lambda text: dataclasses.replace(text, pooled=text.pooled[[1, 0, 2]]),
    "mean of the tokens as the pooled output": lambda text: dataclasses.replace(
        text, pooled=text.states[..., :8].mean(1)
    ),
}


def _pipeline(tiny, config, scheduler):
    tokenizer, encoder = tiny.clip(8)
    tokenizer_2, encoder_2 = tiny.t5(12)
    autoencoder = {
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
    }
    return FluxPipeline(
        vae=tiny.autoencoder(4, **autoencoder),
        text_encoder=encoder,
        text_encoder_2=encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        transformer=tiny.randomised(FluxTransformer2DModel(**{**config, **SMALL})),
        scheduler=FlowMatchEulerDiscreteScheduler(**scheduler),
    )


def _run(pipeline, replay, latents, **options):
    indices = [999 - 50 * step for step in range(20)]
    sigmas = [(index + 1) / 1000 for index in indices]
    if pipeline.scheduler.config.use_dynamic_shifting:  # undone here, so that the steps are timesteps of the training
        shift = torch.exp(torch.tensor(0.5 + (1.15 - 0.5) * (16 - 256) / (4096 - 256), dtype=torch.float64)).item()
        sigmas = [sigma / (shift - (shift - 1.0) * sigma) for sigma in sigmas]
    return replay(
        pipeline,
        latents=latents(2, 4, 8, 8),
        indices=indices,
        guidance_scale=1.0,
        options={"height": 16, "width": 16, "num_inference_steps": 20, "sigmas": sigmas, **options},
        noise=lambda latents: {"latents": FluxPipeline._pack_latents(latents, 2, 4, 8, 8)},
        unpack=lambda tokens: FluxPipeline._unpack_latents(tokens, 16, 16, 2),
    )


@pytest.fixture(scope="module")
def run(tiny, replay, latents):
    return _run(_pipeline(tiny, DEV, SCHEDULER), replay, latents, guidance_scale=GUIDANCE_SCALE)


@pytest.fixture(scope="module")
def prior(run):
    return run.load(image_size=16, embedded_guidance_scale=GUIDANCE_SCALE)


def test_the_pipeline_is_replayed(run, prior):
    assert list(run.differences(prior)) == []


def test_the_pipeline_of_schnell_is_replayed_without_guidance_and_with_fewer_tokens(tiny, replay, latents):
    run = _run(_pipeline(tiny, SCHNELL, SCHEDULER_SCHNELL), replay, latents, max_sequence_length=256)
    prior = run.load(image_size=16)
    assert prior.model.embedded_guidance_scale is None
    assert list(run.differences(prior)) == []


def test_weights_and_two_steps_pass_the_verification(run, verified):
    checks = verified(run, image_size=16)
    assert checks["weights"].passed, checks["weights"].summary
    assert checks["sampling"].passed, checks["sampling"].summary


def test_the_first_call_is_replayed_in_half_precision(run):
    assert run.half_differences(image_size=16, embedded_guidance_scale=GUIDANCE_SCALE) == []


def test_the_first_call_is_replayed_with_embeddings_from_disk(run, monkeypatch):
    assert run.differences_from_disk(monkeypatch, image_size=16, embedded_guidance_scale=GUIDANCE_SCALE) == []


def test_every_option_has_an_effect(run):
    assert list(run.without_effect(image_size=16, embedded_guidance_scale=GUIDANCE_SCALE)) == []


def test_a_wrong_wiring_is_noticed(run, prior, monkeypatch, wiring):
    wiring(monkeypatch, prior.model)
    assert next(run.differences(prior), None) is not None


@pytest.mark.parametrize(("config", "size"), PUBLISHED, ids=["dev", "schnell"])
def test_published_models_have_their_size(config, size):
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(**config)
    assert sum(value.numel() for value in transformer.parameters()) == size


@torch.no_grad()
@pytest.mark.parametrize("config", [DEV, SCHNELL], ids=["dev", "schnell"])
def test_models_of_the_published_widths_answer(config):
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(**{**config, "num_layers": 1, "num_single_layers": 1})
        autoencoder = AutoencoderKL(**{**VAE, "layers_per_block": 1})
    unused = SimpleNamespace(model_max_length=77, config=SimpleNamespace(max_position_embeddings=77))
    model = Flux(
        transformer,
        clip=ClipText(unused, unused),
        t5=T5Text(unused, unused, max_length=512, is_masked=False),
        codec=LatentCodec(autoencoder, 128, 128),
        schedule=NoiseSchedule.from_scheduler_config({"_class_name": "FlowMatchEulerDiscreteScheduler", **SCHEDULER}),
        parameterization="flow",
    )
    embedding = PooledStates(torch.empty(1, 1, 512, 4096, device="meta"), torch.empty(1, 1, 768, device="meta"))
    conditions = Conditions(embedding, torch.ones(1, 1, device="meta"))
    noisy, timestep = torch.empty(1, 16, 128, 128, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    assert model.predict(noisy, timestep, conditions).raw.shape == (1, 1, 16, 128, 128)


def test_packing_is_undone():
    latents = torch.randn(2, 3, 4, 6)
    assert torch.equal(unpack(pack(latents), height=4, width=6), latents)


def test_the_guidance_scale_is_an_input_of_one_row(run, record_calls):
    prior = run.load(image_size=16)
    assert prior.is_guidance_distilled
    noisy, timestep = torch.zeros(2, *prior.sample_shape), torch.tensor([3, 700])
    (call,) = record_calls(prior.model.transformer, lambda: prior.predict(noisy, timestep, run.conditions(prior)))
    assert call.arguments["guidance"].tolist() == [3.5, 3.5]
    assert call.arguments["timestep"].tolist() == pytest.approx([0.004, 0.701])


def test_a_model_that_is_told_no_guidance_scale_says_that_it_is_ignored(latent_folder, caplog):
    from framework.diffusion.pretrained import PretrainedPrior

    config = PretrainedPrior.Config(model=str(latent_folder), embedded_guidance_scale=3.0)
    assert not PretrainedPrior(config, device=torch.device("cpu")).is_guidance_distilled
    assert "'embedded_guidance_scale' is ignored" in caplog.text


def test_images_have_1024_pixels_or_what_is_asked_for(run):
    assert run.load().sample_shape == (4, 128, 128)
    assert run.load(image_size=24).model.image_ids.tolist()[-1] == [0.0, 5.0, 5.0]
    with pytest.raises(UserError, match="image_size 26 does not fit, because it works on blocks of 4 pixels"):
        run.load(image_size=26)


def test_models_for_other_tasks_are_refused(run, monkeypatch):
    real = FluxTransformer2DModel.from_pretrained

    def altered(*arguments, **options):
        model, info = real(*arguments, **options)
        model.register_to_config(in_channels=32)
        return model, info

    monkeypatch.setattr(FluxTransformer2DModel, "from_pretrained", altered)
    with pytest.raises(UserError, match="in_channels = 32; supported is 16"):
        run.load(image_size=16)


def test_prompts_are_never_read_in_chunks(run, caplog):
    prior = run.load(long_prompt="chunk", image_size=16)
    assert "long_prompt 'chunk' is ignored: this model reads 512 tokens of T5" in caplog.text
    assert prior.encode_text(["a " * 600]).states.shape == prior.encode_text(["a"]).states.shape
