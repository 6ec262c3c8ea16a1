"""Training of the small prior: shapes, resuming, and the folder that it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.checkpoint import load_checkpoint
from framework.core.config import load_config
from framework.core.errors import ConfigError
from framework.core.registries import PRIORS, SYSTEMS
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.diffusion.toybox import ToyboxPrior
from framework.structures.losses import LossTerms
from framework.systems.diffusion_training import DiffusionTraining, ModelConfig
from framework.toybox.evaluation.search import Effort

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "trainer.precision=32-true",
    "trainer.max_steps=4",
    "trainer.log_every=1",
    "trainer.validate_every=0",
    "system.model={channels: [8, 16], attending_levels: 1, groups: 4, heads: 2, text_width: 16, text_layers: 1}",
    "system.image_size=16",
    "system.batch_size=4",
    "system.num_timesteps=20",
    "system.judged_prompts=0",
    "system.turned_cameras=0",
    "system.judging.prompts=0",
    "system.memorizing.samples=0",
)


@pytest.fixture(scope="module", autouse=True)
def short_sheets() -> Iterator[None]:
    """Sample sheets of two prompts, which is enough to see that they are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("framework.systems.diffusion_training.SHEET_PROMPTS", ("a red cube", "a snowman, side view"))
        patch.setattr("framework.systems.prior_cameras.SIDES_PROMPTS", ("a red car",))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, launcher: Any, short_sheets: None) -> RunDirectory:
    """A run that was never interrupted."""
    return trained(launcher(tmp_path_factory.mktemp("finished")))


def trained(launch: Any, *settings: str) -> RunDirectory:
    assert launch("configs/toybox/prior.yaml", *TINY, *settings) == 0
    return launch.runs()[-1]


def tensors(run: RunDirectory) -> dict[str, torch.Tensor]:
    """All tensors of the last checkpoint, the optimizer's included."""
    state = load_checkpoint(run.checkpoint(4))["state"]
    moments = {
        f"optimizer.{index}.{name}": torch.as_tensor(value)
        for index, values in state["optimizer"]["state"].items()
        for name, value in values.items()
    }
    return {**state["system"], **moments}


def test_the_exported_folder_opens_as_a_prior_with_the_averaged_weights(finished: RunDirectory) -> None:
    folder = finished.root / "prior"
    config = PRIORS.find("toybox").Config(folder=str(folder), dtype="float32")
    prior = PRIORS.build(config, device=torch.device("cpu"))
    assert isinstance(prior, ToyboxPrior)
    assert prior.sample_shape == (3, 16, 16) and prior.parameterization == "sample" and prior.takes_camera

    state = load_checkpoint(finished.checkpoint(4))["state"]["system"]
    saved = prior.model.unet.state_dict()
    for name, value in saved.items():
        torch.testing.assert_close(value, state[f"average.unet.{name}"].half().float(), rtol=0, atol=0)
    assert any(not torch.equal(state[f"average.unet.{name}"], state[f"unet.{name}"]) for name in saved)

    prediction = prior.predict(torch.zeros(2, 3, 16, 16), torch.tensor([3, 19]), prior.null_conditions(2))
    assert prediction.sample.shape == (1, 2, 3, 16, 16) and bool(prediction.sample.isfinite().all())


def test_the_card_names_recipe_seed_and_vocabulary(finished: RunDirectory) -> None:
    card = json.loads((finished.root / "prior" / "card.json").read_text())
    assert card["seed"] == 0 and card["steps"] == 4
    assert card["recipe"]["system"]["batch_size"] == 4
    assert {"red", "snowman", "front", "view"} <= set(card["vocabulary"])
    assert {"commit", "machine", "versions"} == card["made_by"].keys()


def test_the_card_says_how_good_samples_are_by_every_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.systems.prior_quality.HELD_OUT_LISTS", ("dev",))
    monkeypatch.setattr("framework.toybox.evaluation.memorizing._EFFORT", Effort(starts=8, generations=1, children=8))
    sizes = (
        "system.judged_prompts=1",
        "system.turned_cameras=2",
        "system.judging={prompts: 2, views: 1}",
        "system.memorizing.samples=1",
    )
    run, _ = load_config(ROOT / "configs" / "toybox" / "prior.yaml", [*TINY, *sizes])
    system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
    system.export(tmp_path, StepInfo(40, 40, mode="export"))
    quality = json.loads((tmp_path / "prior" / "card.json").read_text())["quality"]
    assert quality["camera"]["images"] == 2 and quality["camera"]["error_turned_90"] > 0
    assert quality["prompts"] == 1 and quality["right"] in (0.0, 1.0)
    assert quality["judge"]["views"] == 1 and quality["judge"]["dev"]["single"]["prompts"] == 11
    assert quality["memorising"]["trained_images"] == quality["memorising"]["untrained_images"] == 160


def test_shifted_timesteps_are_distributed_as_their_formula_says() -> None:
    # P(T <= t) = t / (s - (s - 1) t), the inverse of the shift.
    for shift in (1.0, 4.0):
        run, _ = load_config(ROOT / "configs" / "toybox" / "prior.yaml", (*TINY, f"system.timestep_shift={shift}"))
        system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
        drawn = system._timesteps(20_000, torch.Generator().manual_seed(0))
        assert drawn.min() == 0 and drawn.max() == 19
        for number in (5, 10, 15):
            fraction = number / 20
            expected = fraction / (shift - (shift - 1.0) * fraction)
            assert (drawn < number).double().mean().item() == pytest.approx(expected, abs=0.01)


def test_sides_of_a_scene_are_seen_through_equal_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (*TINY, "system.batch_size=6", "system.sides_per_scene=3")
    run, _ = load_config(ROOT / "configs" / "toybox" / "prior.yaml", settings)
    system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
    seen = []

    def denoise(noisy: torch.Tensor, timestep: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append((noisy, timestep))
        return torch.zeros_like(noisy)

    monkeypatch.setattr(system.model, "denoise", denoise)
    step = StepInfo(0, 4, run.seed)
    system.training_step(step)
    clean = system.model.codec.encode(system._batch(step).images)
    [(noisy, timestep)] = seen
    alpha, sigma = system.model.schedule.at(timestep)
    noise = ((noisy - alpha * clean) / sigma).reshape(2, 3, -1)
    assert (timestep.view(2, 3) == timestep.view(2, 3)[:, :1]).all()
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(noise[0, 0], noise[1, 0], atol=0.1)


def test_the_azimuth_can_begin_with_more_weight_than_the_rest() -> None:
    weights = []
    for gain in (1.0, 8.0):
        run, _ = load_config(ROOT / "configs" / "toybox" / "prior.yaml", (*TINY, f"system.azimuth_gain={gain}"))
        system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
        weights.append(system.unet.class_embedding.linear_1.weight)
    torch.testing.assert_close(weights[1][:, :2], 8.0 * weights[0][:, :2])
    assert torch.equal(weights[1][:, 2:], weights[0][:, 2:])


def test_draws_are_those_of_the_training_or_new_ones() -> None:
    run, _ = load_config(ROOT / "configs" / "toybox" / "prior.yaml", TINY)
    system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
    assert isinstance(system, DiffusionTraining)
    end = StepInfo(4, 4, run.seed, mode="export")
    batches = [system._batch(StepInfo(number, 4, run.seed)) for number in range(4)]
    assert [draw.captions for draw in system.draws(end, "train", 100)] == [batch.captions for batch in batches]
    assert [draw.captions for draw in system.draws(end, "train", 8)] == [batches[i].captions for i in (0, 2)]
    others = [text for draw in system.draws(end, "test", 100) for text in draw.captions]
    assert others != [text for batch in batches for text in batch.captions] and len(others) == 16


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    finished: RunDirectory, launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DiffusionTraining.training_step

    def dying(self: DiffusionTraining, step: StepInfo) -> LossTerms:
        if step.step == 3:
            raise KeyboardInterrupt
        return whole(self, step)

    monkeypatch.setattr(DiffusionTraining, "training_step", dying)
    assert launch("configs/toybox/prior.yaml", *TINY, "trainer.checkpoint_every=2") == 130
    monkeypatch.setattr(DiffusionTraining, "training_step", whole)
    resumed = trained(launch, "resume=last")

    one, other = tensors(finished), tensors(resumed)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_building_the_model_leaves_the_global_generator_as_it_was() -> None:
    run, _ = load_config(ROOT / "configs" / "toybox" / "prior.yaml", TINY)
    states = []
    for seed in (7, 8):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        states.append(SYSTEMS.build(run.system, run=run, device=torch.device("cpu")).state_dict())
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_training_can_start_from_other_weights(
    finished: RunDirectory, launch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = finished.root / "prior"
    second = trained(launch, f"system.start_from={first}", "seed=1", "system.optimizer.parameters.unet.learning_rate=0")
    content = load_checkpoint(second.checkpoint(4))["state"]["system"]
    config = PRIORS.find("toybox").Config(folder=str(first), dtype="float32")
    prior = PRIORS.build(config, device=torch.device("cpu"))
    assert isinstance(prior, ToyboxPrior)
    weight = prior.model.unet.state_dict()["conv_in.weight"]
    # Weight decay alone would move it, and is scaled by the learning rate as well.
    assert torch.equal(content["unet.conv_in.weight"], weight)

    assert launch("configs/toybox/prior.yaml", *TINY, f"system.start_from={first}", "system.model.channels=[8, 8]") == 2
    assert "start_from: the weights in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": ()}, "channels must not be empty"),
        ({"channels": (64, 90)}, r"channels \[64, 90\] must be multiples of groups"),
        ({"text_width": 50}, "text_width must be a positive multiple of heads, got 50"),
        ({"pixel_unshuffle": 0}, "every number of the model must be positive"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused_before_it_is(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**settings)


def test_values_out_of_range_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    optimizer = "optimizer: {type: adam, parameters: {}}"
    path.write_text(f"name: a\nsystem:\n  type: diffusion-training\n  image_size: 15\n  {optimizer}\n")
    for setting, message in (
        ("system.caption_dropout=2", "system: caption_dropout must lie in [0, 1], got 2. (command line)"),
        ("system.batch_size=0", "system: batch_size must be at least 1 and num_timesteps at least 2, got 0 and 1000."),
        ("system.sides_per_scene=5", "system: batch_size must be a multiple of sides_per_scene, got 32 and 5."),
        (
            "system.turned_cameras=-1",
            "system: judged_prompts and turned_cameras must not be negative, got 200 and -1.",
        ),
        ("system.azimuth_gain=0", "system: azimuth_gain must be positive, got 0."),
        ("system.timestep_shift=0", "system: timestep_shift must be positive, got 0."),
        ("seed=0", "system: image_size 15 cannot be halved as often as the model's channels need."),
    ):
        with pytest.raises(ConfigError) as caught:
            load_config(path, [setting])
        assert str(caught.value).startswith(message)
