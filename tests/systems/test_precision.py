"""Mixed precision: what is computed in half precision and what is not, and losses scaled to fit it."""

from __future__ import annotations

import csv
from typing import Any

import pytest
import torch
from torch import Tensor

from framework.core.checkpoint import load_checkpoint
from framework.core.step import StepInfo
from framework.diffusion.analytic import AnalyticPrior
from framework.structures.losses import LossTerms, TermOutput
from framework.systems.distillation import Distillation
from framework.systems.loss_scale import LossScale


def test_a_scale_is_halved_by_steps_that_are_not_finite_and_doubled_after_many_that_are() -> None:
    scale = LossScale()
    scale.note(is_finite=False)
    assert scale.scale == 2.0**15
    for _ in range(2000):
        assert scale.scale == 2.0**15
        scale.note(is_finite=True)
    assert scale.scale == 2.0**16
    for _ in range(40):
        scale.note(is_finite=False)
    assert scale.scale == 1.0


def test_scaling_rounds_no_gradient() -> None:
    gradient = torch.randn(100, generator=torch.Generator().manual_seed(0))
    scaled = gradient * LossScale().scale
    LossScale().unscale([scaled])
    assert torch.equal(scaled, gradient)


def test_a_scale_goes_on_from_a_checkpoint() -> None:
    scale, other = LossScale(8.0, 7), LossScale()
    other.load_state_dict(scale.state_dict())
    assert other == scale


@pytest.mark.parametrize(("precision", "half"), [("16-mixed", torch.float16), ("bf16-mixed", torch.bfloat16)])
def test_networks_compute_in_half_precision_and_guidance_does_not(
    launch: Any, monkeypatch: pytest.MonkeyPatch, precision: str, half: torch.dtype
) -> None:
    seen: list[tuple[bool, torch.dtype]] = []
    products: list[torch.dtype] = []
    whole_predict, whole_step = AnalyticPrior.predict, Distillation.training_step

    def predict(self: AnalyticPrior, noisy: Tensor, *rest: Any) -> Any:
        seen.append((torch.is_autocast_enabled("cpu"), noisy.dtype))
        return whole_predict(self, noisy, *rest)

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        products.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        return whole_step(self, step)

    monkeypatch.setattr(AnalyticPrior, "predict", predict)
    monkeypatch.setattr(Distillation, "training_step", training_step)
    assert launch.small(f"trainer.precision={precision}", "trainer.max_steps=3") == 0
    assert set(products) == {half} and set(seen) == {(False, torch.float32)}
    (run,) = launch.runs()
    state = load_checkpoint(run.latest_checkpoint())["state"]
    assert state.get("loss_scale") == ({"scale": 2.0**16, "finite_steps": 3} if half is torch.float16 else None)
    assert all(value.dtype != half for value in state["system"].values())


def test_what_overflows_in_half_precision_is_skipped_until_the_scale_fits(
    launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_step = Distillation.training_step

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        terms = whole_step(self, step)
        # The gradient on its way is four times the scale: infinite in float16 from a scale of 16384 on.
        halves = self.scene.geometry.mlp.weights[0].half()
        terms.add("losses.steep", TermOutput({"x": 4.0 * halves.sum().float()}), weight=1.0)
        return terms

    monkeypatch.setattr(Distillation, "training_step", training_step)
    assert launch.small("trainer.precision=16-mixed", "trainer.max_steps=6") == 0
    rows = list(csv.DictReader(launch.runs()[0].metrics.read_text().splitlines()))
    assert [row["skipped_steps"] for row in rows] == ["1", "2", "3", "3", "3", "3"]
    assert [float(row["loss_scale"]) for row in rows] == [2.0**15, 2.0**14, 2.0**13, 2.0**13, 2.0**13, 2.0**13]


def test_a_gradient_that_overflows_at_every_scale_names_its_term(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_step = Distillation.training_step

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        terms = whole_step(self, step)
        halves = self.scene.geometry.mlp.weights[0].half()
        terms.add("losses.steep", TermOutput({"x": 1e6 * halves.sum().float()}), weight=1.0)
        return terms

    monkeypatch.setattr(Distillation, "training_step", training_step)
    assert launch.small("trainer.precision=16-mixed", "trainer.max_skipped_steps=2") == 2
    assert "step 2: the gradient of losses.steep is not finite, nor in the 2 steps" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_a_run_on_a_cuda_device_ends_finite_in_mixed_precision(launch: Any, precision: str) -> None:
    assert launch.small(f"trainer.precision={precision}") == 0
    state = load_checkpoint(launch.runs()[0].latest_checkpoint())["state"]["system"]
    assert all(bool(value.isfinite().all()) for value in state.values())


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_cuda_devices_train_one_run(launch: Any) -> None:
    assert launch.small("--gpu=0,1") == 0
    assert launch.runs()[0].state()["state"] == "finished"
