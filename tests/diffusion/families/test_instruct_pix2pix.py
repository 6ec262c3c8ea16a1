"""InstructPix2Pix: the pipeline replayed with its three rows and two scales."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import imageio.v3 as imageio
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from torch import Tensor

from framework.core.checkpoint import load_checkpoint
from framework.core.errors import UserError
from framework.core.schedule import Constant
from framework.core.step import StepInfo
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.catalog import load_model
from framework.diffusion.families.codecs import LatentCodec
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.instruct_pix2pix import InstructPix2Pix
from framework.diffusion.families.options import LoadOptions
from framework.diffusion.families.text import HiddenStates
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.pretrained import PretrainedPrior
from framework.guidance.combination import DualCondition
from framework.guidance.score_distillation import ScoreDistillation
from framework.guidance.source import ImageFile
from framework.prompts.plain import Plain
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput

# What the published file says beside the defaults of diffusers: timbrooks/instruct-pix2pix.
UNET = {"in_channels": 8, "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "clip_sample": False,
}
SMALL = {
    "sample_size": 8,
    "block_out_channels": (4, 8, 8, 8),
    "norm_num_groups": 2,
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
LEADING = [951 - 50 * step for step in range(20)]
TEXT_SCALE, IMAGE_SCALE = 3.0, 1.5
PICTURES = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(3))
COMBINATION = DualCondition(DualCondition.Config(image_scale=IMAGE_SCALE))


def _instructed(run):
    """The replay of a pipeline that is shown pictures."""

    class Instructed(type(run)):
        computed = ("sample",)  # its last channels: latents of the picture

        def conditions(self, prior) -> Conditions:
            """Three rows: the instruction with the picture, the picture alone, nothing."""
            text = prior.encode_text(["A red cube", "a dog", ""])
            rows = Conditions(text[torch.tensor([[0, 1], [2, 2]])], torch.ones(2, 2))
            return COMBINATION.select(rows.showing(PICTURES, None), TEXT_SCALE)

        def sample(self, prior, conditions: Conditions) -> Iterator[Tensor]:
            x_t = self.latents
            for index, following in zip(self.indices, [*self.indices[1:], None], strict=True):
                prediction = prior.predict(x_t, torch.full((2,), index), conditions)
                guided = prediction.with_raw(COMBINATION.combine(prediction.raw, conditions.weights, TEXT_SCALE))
                if following is None:
                    yield guided.sample
                    return
                alpha, sigma = prior.schedule.at(torch.full((2,), following))
                x_t = alpha * guided.sample + sigma * guided.epsilon
                yield x_t

    return Instructed(**{field.name: getattr(run, field.name) for field in dataclasses.fields(run)})


def _pictures_first(patch, model):
    forward = model.unet.forward

    @functools.wraps(forward)
    def wrong(seen, *rest, **named):
        return forward(seen.roll(4, dims=1), *rest, **named)

    patch.setattr(model.unet, "forward", wrong)


def _scaled(patch, model):
    patch.setattr(model.codec, "latents", lambda images: model.codec._scale * LatentCodec.latents(model.codec, images))


def _shown(change):
    """A wiring that changes the latents (K, B, C, h, w) of what is shown."""

    def wire(patch, model):
        shown = model._shown

        def wrong(conditions):
            count, batch_size = conditions.weights.shape
            return change(shown(conditions).unflatten(0, (count, batch_size))).flatten(0, 1)

        patch.setattr(model, "_shown", wrong)

    return wire


WIRINGS = {
    "pictures before the noise": _pictures_first,
    "latents of the picture scaled": _scaled,
    "the picture shown everywhere": _shown(lambda shown: shown[:1].expand_as(shown)),
    "the picture shown nowhere": _shown(torch.zeros_like),
    "the picture hidden from the row without a prompt": _shown(
        lambda shown: torch.stack([shown[0], torch.zeros_like(shown[1]), shown[2]])
    ),
    "the row without a picture first": _shown(lambda shown: shown.roll(1, dims=0)),
    "pictures of other samples": _shown(lambda shown: shown.flip(1)),
    "the two scales swapped": lambda patch, model: patch.setattr(
        COMBINATION, "combine", lambda raw, weights, scale: 1.5 * raw[0] + 1.5 * raw[1] - 2.0 * raw[2]
    ),
    "linear betas": lambda patch, model: patch.setattr(model, "schedule", NoiseSchedule.linear(1000)),
    "velocity": lambda patch, model: patch.setattr(model, "parameterization", "velocity"),
}
EMBEDDINGS = {"tokens in another order": lambda text: HiddenStates(text.states.roll(1, dims=1))}


def _components(tiny):
    tokenizer, encoder = tiny.clip(8)
    return {
        "vae": tiny.autoencoder(4, scaling_factor=0.18215),
        "text_encoder": encoder,
        "tokenizer": tokenizer,
        "unet": tiny.randomised(UNet2DConditionModel(**{**UNET, **SMALL})),
        "scheduler": DDIMScheduler(**SCHEDULER),
        "safety_checker": None,
        "feature_extractor": None,
    }


@pytest.fixture(scope="module")
def run(tiny, replay, latents):
    pipeline = StableDiffusionInstructPix2PixPipeline(**_components(tiny), requires_safety_checker=False)
    return _instructed(
        replay(
            pipeline,
            latents=latents(2, 4, 8, 8),
            indices=LEADING,
            guidance_scale=TEXT_SCALE,
            options={
                "num_inference_steps": 20,
                "guidance_scale": TEXT_SCALE,
                "image_guidance_scale": IMAGE_SCALE,
                "image": PICTURES.permute(0, 3, 1, 2),
            },
            unpack=lambda latents: latents[:, :4],
        )
    )


@pytest.fixture(scope="module")
def prior(run):
    return run.load()


def test_the_pipeline_is_replayed(run, prior):
    assert list(run.differences(prior)) == []


def test_the_first_call_is_replayed_in_half_precision(run, record_calls):
    """The pipeline's own autoencoder would work in half precision; ours does not, so its latents are handed over."""
    prior = run.load(dtype="bfloat16")
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        run.folder, dtype=torch.bfloat16, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 1, "guidance_scale": TEXT_SCALE, "image_guidance_scale": IMAGE_SCALE}
    shown, start = prior.model.codec.latents(PICTURES), run.latents.bfloat16()
    with torch.no_grad():
        (call,) = record_calls(
            pipeline.unet,
            lambda: pipeline(["A red cube", "a dog"], image=shown, latents=start, output_type="latent", **options),
        )
        half = dataclasses.replace(run, indices=[int(call.arguments["timestep"])])
        assert list(half.call_differences(prior, call, half.conditions(prior))) == []


def test_the_first_call_is_replayed_with_embeddings_from_disk(run, monkeypatch):
    assert run.differences_from_disk(monkeypatch) == []


def test_every_option_has_an_effect(run):
    assert list(run.without_effect()) == []


def test_a_wrong_wiring_is_noticed(run, monkeypatch, wiring):
    prior = run.load()
    wiring(monkeypatch, prior.model)
    assert next(run.differences(prior), None) is not None


def test_the_published_model_has_its_size():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNET)
    assert sum(value.numel() for value in unet.parameters()) == 859_532_484


def test_an_image_is_encoded_once_for_all_evaluations_of_a_step(run, monkeypatch):
    prior = run.load()
    conditions, encoded = run.conditions(prior), []
    latents = prior.model.codec.latents
    monkeypatch.setattr(prior.model.codec, "latents", lambda images: encoded.append(images) or latents(images))
    timestep = torch.full((2,), 500)
    first = prior.predict(run.latents, timestep, conditions).raw
    again = prior.predict(run.latents, timestep, conditions.rows([0])).raw
    assert torch.allclose(again[0], first[0], atol=1e-5)
    assert len(encoded) == 1
    other = prior.predict(run.latents, timestep, conditions.showing(PICTURES.flip(0), None)).raw
    assert len(encoded) == 2 and not torch.allclose(other[0], first[0], atol=1e-3)


def test_conditions_that_show_no_image_are_those_without_one(run, prior):
    conditions, timestep = run.conditions(prior), torch.full((2,), 500)
    alone = Conditions(conditions.text[2:], torch.ones(1, 2))
    expected = prior.predict(run.latents, timestep, conditions).raw[2]
    assert torch.allclose(prior.predict(run.latents, timestep, alone).raw[0], expected, atol=1e-5)


def test_another_autoencoder_and_other_unets_are_refused(run, prior):
    folder = ModelFolder.open(str(run.folder))
    with pytest.raises(UserError, match="latents of its own vae"):
        load_model(folder, LoadOptions(device=torch.device("cpu"), autoencoder=folder))
    model, unet = prior.model, UNet2DConditionModel(**{**UNET, **SMALL, "in_channels": 4})
    with pytest.raises(ValueError, match="in_channels = 4; supported is 8"):
        InstructPix2Pix(unet, text=model.text, codec=model.codec, schedule=model.schedule, parameterization="epsilon")


def test_a_folder_says_that_it_edits_before_its_weights_are_read(run, prior):
    known = PretrainedPrior.traits_of(PretrainedPrior.Config(model=str(run.folder)))
    assert known == prior.traits and known.takes_image and not known.has_unet


def test_rules_guide_a_render_with_both_scales(run, prior, tmp_path, views):
    """Beside the sum over the three rows by hand."""
    imageio.imwrite(tmp_path / "picture.png", (PICTURES[0] * 255).byte().numpy())
    config = ScoreDistillation.Config(
        source_image=ImageFile.Config(path=str(tmp_path / "picture.png")),
        combination=DualCondition.Config(image_scale=IMAGE_SCALE),
        guidance_scale=Constant(TEXT_SCALE),
        prompts=Plain.Config(),
    )
    guidance = ScoreDistillation(config, name="main", prior=prior, prompt="make it red")
    render = RenderOutput(rgb=PICTURES, opacity=PICTURES[..., :1], depth=PICTURES[..., :1], renderer="none")
    frame = Frame(torch.nn.Module(), views, render, StepInfo(0, 10))
    sample = prior.schedule.add_noise(run.latents, run.latents.flip(0), torch.full((2,), 500))
    with torch.no_grad():
        conditions = guidance.conditions(frame)
        residual = guidance.residual(sample, conditions, frame)
        shown = prior.predict(sample.noisy, sample.timestep, conditions.rows([0, 1])).raw
        hidden = prior.predict(sample.noisy, sample.timestep, conditions.rows([1]).hiding_image([0])).raw[0]
    expected = hidden + TEXT_SCALE * (shown[0] - shown[1]) + IMAGE_SCALE * (shown[1] - hidden)
    assert torch.allclose(residual, expected - sample.noise, atol=1e-4)


def test_an_edit_of_latents_begins_with_those_of_the_picture(run, prior, launch, tmp_path):
    imageio.imwrite(tmp_path / "picture.png", (PICTURES[0] * 255).byte().numpy())
    settings = (
        f"prior={run.folder}",
        "prompt=make it red",
        "trainer.max_steps=1",
        "export=null",
        "system.canvas=latents",
        "system.images=2",
        "system.noise=0",
        "system.optimizer.parameters.canvas.learning_rate=0",
        "system.guidance={type: score-distillation, buffer: latent, prompts: plain, combination: dual-condition, "
        f"source_image: {{type: image-file, path: {tmp_path / 'picture.png'}}}}}",
    )
    assert launch("configs/playground.yaml", *settings) == 0
    canvas = load_checkpoint(launch.runs()[0].checkpoint(1))["state"]["system"]["canvas"]
    picture = torch.tensor(imageio.imread(tmp_path / "picture.png")).float()[None] / 255.0
    assert torch.allclose(canvas, prior.encode(picture).permute(0, 2, 3, 1).expand(2, -1, -1, -1), atol=1e-4)


def test_without_a_picture_the_model_is_refused_before_it_is_read(run, launch, capsys):
    settings = (f"prior={run.folder}", "system.guidance={type: score-distillation, prompts: plain}")
    assert launch("configs/playground.yaml", *settings) == 2
    assert "source_image: is missing, but the prior edits an image" in " ".join(capsys.readouterr().err.split())
    assert launch.runs() == []
