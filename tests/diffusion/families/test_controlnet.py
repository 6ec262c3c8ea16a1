"""A ControlNet beside Stable Diffusion: the pipeline replayed, with every argument of both networks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator

import pytest
import torch
from diffusers import ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.conditions import Conditions
from framework.diffusion.families.controlnet import ControlNet, ControlNetSettings
from framework.diffusion.families.text import HiddenStates
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.pretrained import PretrainedPrior
from framework.structures.render_output import Buffer

# What the published file says beside the defaults of diffusers: lllyasviel/control_v11p_sd15_normalbae.
PUBLISHED = {"cross_attention_dim": 768, "attention_head_dim": 8}
UNET = {
    "sample_size": 8,
    "block_out_channels": (4, 8, 8, 8),
    "norm_num_groups": 2,
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "clip_sample": False,
}
LEADING = [951 - 50 * step for step in range(20)]
SCALE, CONTROL_SCALE = 3.0, 0.7
CONTROL = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(5))


def _controlled(run, call, record):
    """The replay of a pipeline with a ControlNet, whose own first call was `call`."""

    class Controlled(type(run)):
        computed = ("mid_block_additional_residual", "down_block_additional_residuals")

        def load(self, **options: object) -> PretrainedPrior:
            folder = str(self.folder / "controlnet")
            settings = ControlNetSettings(folder=folder, kind="depth", scale=CONTROL_SCALE)
            return super().load(**{"controlnet": settings, **options})

        def conditions(self, prior) -> Conditions:
            return super().conditions(prior).showing(None, CONTROL)

        def call_differences(self, prior, theirs, conditions: Conditions) -> Iterator[str]:
            yield from super().call_differences(prior, theirs, conditions)
            if theirs is not self.call:
                return
            noisy, timestep = theirs.arguments["sample"][-2:], torch.full((2,), self.indices[0])
            (ours,) = record(prior.model.control.network, lambda: prior.predict(noisy, timestep, conditions))
            yield from _different(ours.arguments, call.arguments)

    return Controlled(**{field.name: getattr(run, field.name) for field in dataclasses.fields(run)})


def _different(ours: dict[str, object], theirs: dict[str, object]) -> Iterator[str]:
    """Names of the ControlNet's arguments that are not the same; `guess_mode` is off by default."""
    assert theirs.pop("guess_mode", False) is False
    if ours.keys() != theirs.keys():
        yield f"arguments of the ControlNet are {sorted(ours)}, not {sorted(theirs)}"
    for name in ours.keys() & theirs.keys():
        mine, others = ours[name], theirs[name]
        if isinstance(mine, Tensor) and others.ndim == 0:
            others = others.to(mine).expand(mine.shape)
        if not (torch.equal(mine, others) if isinstance(mine, Tensor) else mine == others):
            yield f"argument {name} of the ControlNet differs"


def _asked(change: Callable[..., dict[str, object]]):
    """A wiring that asks the ControlNet something else."""

    def wire(patch, model):
        residuals = model.control.residuals

        def wrong(noisy, times, states, image):
            named = {"noisy": noisy, "times": times, "states": states, "image": image}
            return residuals(**{**named, **change(named)})

        patch.setattr(model.control, "residuals", wrong)

    return wire


def _silent(name: str):
    """A wiring that adds zeros in a place."""

    def wire(patch, model):
        residuals = model.control.residuals

        def wrong(*asked):
            found = residuals(*asked)
            part = found[name]
            silent = torch.zeros_like(part) if isinstance(part, Tensor) else [torch.zeros_like(item) for item in part]
            return {**found, name: silent}

        patch.setattr(model.control, "residuals", wrong)

    return wire


WIRINGS = {
    "scale forgotten": lambda patch, model: patch.setattr(model.control, "scale", 1.0),
    "nothing added": lambda patch, model: patch.setattr(model, "control", None),
    "nothing added to the skip connections": _silent("down_block_additional_residuals"),
    "nothing added to the middle": _silent("mid_block_additional_residual"),
    "image in [-1, 1]": _asked(lambda asked: {"image": 2.0 * asked["image"] - 1.0}),
    "channels in another order": _asked(lambda asked: {"image": asked["image"].flip(1)}),
    "image upside down": _asked(lambda asked: {"image": asked["image"].flip(2)}),
    "images of other samples": _asked(lambda asked: {"image": asked["image"].roll(1, dims=0)}),
    "images before conditions": _asked(lambda asked: {"image": asked["image"][[0, 2, 1, 3]][[0, 0, 1, 1]]}),
    "prompts of other rows": _asked(lambda asked: {"states": asked["states"].roll(2, dims=0)}),
    "another time": _asked(lambda asked: {"times": asked["times"] + 1.0}),
    "other noise": _asked(lambda asked: {"noisy": asked["noisy"].roll(1, dims=0)}),
    "linear betas": lambda patch, model: patch.setattr(model, "schedule", NoiseSchedule.linear(1000)),
}
EMBEDDINGS = {"tokens in another order": lambda text: HiddenStates(text.states.roll(1, dims=1))}


@pytest.fixture(scope="module")
def run(tiny, replay, latents, record_calls):
    tokenizer, encoder = tiny.clip(8)
    unet = tiny.randomised(UNet2DConditionModel(**UNET))
    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    assert all(not value.any() for value in network.controlnet_mid_block.parameters())
    pipeline = StableDiffusionControlNetPipeline(
        vae=tiny.autoencoder(4, scaling_factor=0.18215),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        controlnet=tiny.randomised(network),  # what begins as zero included
        scheduler=DDIMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    found = []
    options = {
        "num_inference_steps": 20,
        "guidance_scale": SCALE,
        "image": CONTROL.permute(0, 3, 1, 2),
        "controlnet_conditioning_scale": CONTROL_SCALE,
    }
    calls = record_calls(
        pipeline.controlnet,
        lambda: found.append(
            replay(pipeline, latents=latents(2, 4, 8, 8), indices=LEADING, guidance_scale=SCALE, options=options)
        ),
    )
    (run,) = found
    # A ControlNet is published by itself, beside the pipeline of the model without it.
    index = run.folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "StableDiffusionPipeline"}))
    return _controlled(run, calls[0], record_calls)


@pytest.fixture(scope="module")
def prior(run):
    return run.load()


def test_the_pipeline_is_replayed(run, prior):
    assert list(run.differences(prior)) == []


def test_the_first_call_is_replayed_in_half_precision(run):
    assert run.half_differences() == []


def test_every_option_has_an_effect(run):
    assert list(run.without_effect()) == []


def test_a_wrong_wiring_is_noticed(run, monkeypatch, wiring):
    prior = run.load()
    wiring(monkeypatch, prior.model)
    assert next(run.differences(prior), None) is not None


def test_the_published_network_has_its_size():
    with torch.device("meta"):
        network = ControlNetModel(**PUBLISHED)
    assert sum(value.numel() for value in network.parameters()) == 361_279_120


def test_without_a_control_image_the_model_answers_as_without_a_controlnet(run, prior):
    plain = run.load(controlnet=ControlNetSettings())
    conditions, timestep = run.conditions(prior), torch.full((2,), 500)
    alone = conditions.showing(None, None)
    expected = plain.predict(run.latents, timestep, alone).raw
    assert torch.equal(prior.predict(run.latents, timestep, alone).raw, expected)
    assert not torch.allclose(prior.predict(run.latents, timestep, conditions).raw, expected, atol=1e-2)


def test_control_images_of_any_size_are_brought_to_that_of_the_model(run, prior):
    large = torch.nn.functional.interpolate(CONTROL.permute(0, 3, 1, 2), scale_factor=2).permute(0, 2, 3, 1)
    conditions, timestep = run.conditions(prior), torch.full((2,), 500)
    expected = prior.predict(run.latents, timestep, conditions).raw
    raw = prior.predict(run.latents, timestep, conditions.showing(None, large)).raw
    assert torch.allclose(raw, expected, atol=1e-4)


def test_what_a_controlnet_reads_of_a_render_is_known_before_it_is_loaded():
    kinds = {"depth": Buffer.DEPTH, "normal": Buffer.NORMAL, "canny": Buffer.RGB}
    for kind, buffer in kinds.items():
        config = PretrainedPrior.Config(model="x", controlnet=ControlNetSettings(folder="y", kind=kind))
        assert buffer in PretrainedPrior.needs_of(config)
    assert PretrainedPrior.needs_of(PretrainedPrior.Config(model="x")) == frozenset()


@pytest.mark.parametrize(("settings", "missing"), [({"folder": "x"}, "kind"), ({"kind": "depth"}, "folder")])
def test_half_a_controlnet_is_refused(settings, missing):
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        ControlNetSettings(**settings)


def test_what_is_no_controlnet_of_the_model_is_refused(run, prior, pixel_folder, tmp_path):
    unet = run.folder / "unet"
    with pytest.raises(UserError, match=r"holds a UNet2DConditionModel; supported is ControlNetModel"):
        run.load(controlnet=ControlNetSettings(folder=str(unet), kind="depth"))
    ControlNetModel.from_unet(UNet2DConditionModel(**{**UNET, "block_out_channels": (8, 8, 8, 8)})).save_pretrained(
        tmp_path
    )
    with pytest.raises(UserError, match=r"does not fit the model: its blocks are \[8, 8, 8, 8\] channels wide"):
        run.load(controlnet=ControlNetSettings(folder=str(tmp_path), kind="depth"))
    pooled = ControlNetModel.from_unet(prior.model.unet)
    pooled.register_to_config(global_pool_conditions=True)
    with pytest.raises(ValueError, match="global_pool_conditions = True; supported is False"):
        ControlNet(pooled, prior.model.unet)
    settings = ControlNetSettings(folder=str(run.folder / "controlnet"), kind="depth")
    with pytest.raises(UserError, match="Stable Diffusion 1 and 2 only"):
        PretrainedPrior(
            PretrainedPrior.Config(model=str(pixel_folder), controlnet=settings), device=torch.device("cpu")
        )


@pytest.mark.parametrize("kind", ["depth", "normal", "canny"])
def test_a_scene_is_distilled_with_what_its_own_render_shows(run, launch, monkeypatch, kind):
    seen = []
    residuals = ControlNet.residuals
    monkeypatch.setattr(ControlNet, "residuals", lambda self, *asked: seen.append(asked[3]) or residuals(self, *asked))
    folder = run.folder / "controlnet"
    prior = f"prior={{type: pretrained, model: {run.folder}, controlnet: {{folder: {folder}, kind: {kind}}}}}"
    guidance = "system.guidance={type: score-distillation, guidance_scale: 2, prompts: plain}"
    assert launch.small(prior, guidance, "trainer.max_steps=2") == 0
    assert seen and all(image.shape[:2] == (2, 3) and image.shape[2:] == (16, 16) for image in seen)
    assert all(image.min() >= 0.0 and image.max() <= 1.0 and image.isfinite().all() for image in seen)
    assert kind == "canny" or any(image.std() > 0.01 for image in seen)
