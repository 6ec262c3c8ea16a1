from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, IFPipeline, UNet2DConditionModel

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.codecs import PixelCodec
from framework.diffusion.families.deepfloyd import DeepFloyd
from framework.diffusion.families.text import HiddenStates, T5Text
from framework.diffusion.noise_schedule import NoiseSchedule

# What the published files say beside the defaults of diffusers: DeepFloyd/IF-I-XL-v1.0.
UNET = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 6,
    "block_out_channels": (704, 1408, 2112, 2816),
    "down_block_types": ("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 3),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": (*("SimpleCrossAttnUpBlock2D",) * 3, "ResnetUpsampleBlock2D"),
    "layers_per_block": 3,
    "act_fn": "gelu",
    "attention_head_dim": 64,
    "cross_attention_dim": 2816,
    "cross_attention_norm": "group_norm",
    "encoder_hid_dim": 4096,
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 64,
    "resnet_time_scale_shift": "scale_shift",
}
SCHEDULER = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "variance_type": "learned_range",
    "thresholding": True,
    "sample_max_value": 1.5,
}
SMALL = {
    "sample_size": 16,
    "block_out_channels": (4, 8, 8),
    "down_block_types": ("ResnetDownsampleBlock2D", *("SimpleCrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("SimpleCrossAttnUpBlock2D",) * 2, "ResnetUpsampleBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "norm_num_groups": 2,
    "cross_attention_dim": 32,
    "encoder_hid_dim": 12,
    "addition_embed_type_num_heads": 2,
}


WIRINGS = {
    "latents drawn instead of the most likely": None,
    "scaling factor forgotten": None,
    "padding shown to T5": lambda patch, model: patch.setattr(model.text, "is_masked", False),
    "too few tokens": lambda patch, model: patch.setattr(model.text, "max_length", 64),
    "capitals kept": lambda patch, model: patch.setattr(model, "encode_text", model.text.encode),
    "pixels between 0 and 1": lambda patch, model: patch.setattr(model.codec, "_low", 0.0),
    "linear betas": lambda patch, model: patch.setattr(model, "schedule", NoiseSchedule.linear(1000)),
}
EMBEDDINGS = {
    "tokens in another order": lambda text: HiddenStates(text.states.roll(1, dims=1)),
}


@pytest.fixture(scope="module")
def run(tiny, replay):
    tokenizer, encoder = tiny.t5(12)
    # Deterministic and without clipping, so that the steps are those of the test.
    scheduler = {**SCHEDULER, "variance_type": "fixed_small", "thresholding": False, "clip_sample": False}
    pipeline = IFPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=tiny.randomised(UNet2DConditionModel(**{**UNET, **SMALL})),
        scheduler=DDIMScheduler.from_config(scheduler),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )
    return replay(
        pipeline,
        latents=torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)),
        indices=[950 - 50 * step for step in range(20)],
        guidance_scale=3.0,
        options={"num_inference_steps": 20, "guidance_scale": 3.0, "clean_caption": False},
        noise=lambda latents: {"generator": torch.Generator().manual_seed(0)},
        output_types=("pt", "np"),
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
        unet = UNet2DConditionModel(**UNET)
    assert round(sum(value.numel() for value in unet.parameters()) / 1e9, 1) == 4.3  # as its card says


@torch.no_grad()
def test_a_model_of_the_published_widths_answers():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**UNET, "layers_per_block": 1})
    unused = SimpleNamespace()
    model = DeepFloyd(
        unet,
        text=T5Text(unused, unused, max_length=77, is_masked=True),
        codec=PixelCodec(64, 64),
        schedule=NoiseSchedule.from_scheduler_config(SCHEDULER),
        parameterization="epsilon",
    )
    conditions = Conditions(HiddenStates(torch.empty(2, 1, 77, 4096, device="meta")), torch.ones(2, 1, device="meta"))
    noisy, timestep = torch.empty(1, 3, 64, 64, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    assert model.predict(noisy, timestep, conditions).raw.shape == (2, 1, 3, 64, 64)


def test_images_have_the_size_of_the_training_or_what_is_asked_for(run, prior):
    assert prior.sample_shape == (3, 16, 16)
    assert run.load(image_size=24).sample_shape == (3, 24, 24)
    with pytest.raises(UserError, match="image_size 25 does not fit, because it works on blocks of 4 pixels"):
        run.load(image_size=25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 6}, "in_channels = 6; supported is 3"),
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep'; supported is None"),
    ],
)
def test_stages_that_enlarge_are_refused(run, monkeypatch, change, message):
    real = UNet2DConditionModel.from_pretrained

    def altered(*arguments, **options):
        model, info = real(*arguments, **options)
        model.register_to_config(**change)
        return model, info

    monkeypatch.setattr(UNet2DConditionModel, "from_pretrained", altered)
    with pytest.raises(UserError, match=message):
        run.load()


def test_a_prompt_that_t5_does_not_read_to_its_end_is_reported(prior, caplog):
    prior.encode_text(["a " * 50])
    assert "only 77 are read by T5" in caplog.text


def test_prompts_are_never_read_in_chunks(run, caplog):
    prior = run.load(long_prompt="chunk")
    assert "long_prompt 'chunk' is ignored: this model reads 77 tokens of T5" in caplog.text
    assert prior.encode_text(["a " * 600]).states.shape == prior.encode_text(["a"]).states.shape
