"""What is said, and what is left, when memory does not suffice."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import pytest
import torch
from torch import Tensor, nn

from framework.core.config import dump, load_config
from framework.core.step import StepInfo
from framework.export import mesh
from framework.export.loading import load_glb
from framework.export.threshold import silhouette_views
from framework.geometry.channel_field import ChannelField
from framework.structures.field import FieldQuery, FieldSample
from framework.structures.losses import LossTerms
from framework.systems.distillation import Distillation
from framework.systems.memory import savings

ROOT = Path(__file__).resolve().parents[2]
CUDA_SAYS = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB."


class Greedy(nn.Module):
    """Asks for more memory than there is."""

    def forward(self, loss: Tensor) -> Tensor:
        raise torch.OutOfMemoryError(CUDA_SAYS)


@pytest.fixture
def greedy_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets training steps from the given one on run out of memory."""
    real = Distillation.training_step

    def start(when: int) -> None:
        def training_step(self: Distillation, step: StepInfo) -> LossTerms:
            terms = real(self, step)
            if step.step >= when:
                Greedy()(terms.total())
            return terms

        monkeypatch.setattr(Distillation, "training_step", training_step)

    return start


def test_a_step_without_memory_ends_with_one_error_and_keeps_the_last_checkpoint(
    launch: Any, greedy_from: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    greedy_from(5)
    assert launch.small("trainer.checkpoint_every=2") == 2
    (run,) = launch.runs()
    assert [path.stem for path in run.checkpoints()] == ["step-000002", "step-000004"]
    assert run.state()["state"] == "failed"
    errors = capsys.readouterr().err
    assert errors == f"error: {run.state()['reason']}\n"
    assert f"step 5: out of memory (CUDA out of memory). The last checkpoint is {run.checkpoint(4)}. " in errors
    assert f"Go on with resume={run.root} and any of trainer.precision=bf16-mixed, " in errors
    assert "a smaller system.streams.random.height (now 16)" in errors


def test_the_run_goes_on_from_its_checkpoint_once_there_is_memory(
    launch: Any, greedy_from: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        real = Distillation.training_step
        greedy_from(5)
        assert launch.small("trainer.checkpoint_every=2") == 2
        patch.setattr(Distillation, "training_step", real)
        (run,) = launch.runs()
        assert launch.small("trainer.checkpoint_every=2", f"resume={run.root}") == 0
    assert run.state()["state"] == "finished"


def test_a_run_without_a_checkpoint_says_so(launch: Any, greedy_from: Any, capsys: pytest.CaptureFixture[str]) -> None:
    greedy_from(0)
    assert launch.small() == 2
    assert "No checkpoint had been written yet. Start again with any of" in capsys.readouterr().err


def _savings(*settings: str) -> list[str]:
    config, _ = load_config(ROOT / "configs" / "dreamfusion.yaml", settings)
    return savings(dump(config))


def test_every_option_of_the_prior_that_saves_memory_is_named_as_the_config_names_it() -> None:
    named = _savings("prior={type: pretrained, model: sdxl, dtype: float32, keep_text_encoder: true}")
    assert named[:7] == [
        "prior.dtype=bfloat16",
        "prior.layerwise_storage=float8_e4m3fn",
        "prior.offload=group",
        "prior.vae_slicing=true",
        "prior.vae_tiling=true",
        "prior.keep_text_encoder=false",
        "trainer.precision=bf16-mixed",
    ]
    assert "a smaller system.renderer.samples_per_ray (now 96)" in named


def test_what_is_done_already_or_means_nothing_is_not_named() -> None:
    settings = "vae_slicing: true, offload: group"
    named = _savings(f"prior={{type: pretrained, model: sdxl, {settings}}}", "trainer.precision=bf16-mixed")
    assert [name for name in named if "smaller" not in name] == [
        "prior.layerwise_storage=float8_e4m3fn",
        "prior.vae_tiling=true",
    ]
    assert not any("vae" in name for name in _savings("prior={type: pretrained, model: deepfloyd-if}"))
    assert not any("prior" in name for name in _savings("prior=oracle"))


def test_priors_of_single_guidances_are_found() -> None:
    named = _savings("system.guidance.prior={type: pretrained, model: sdxl}")
    assert any(name.startswith("system.guidance.main.prior.offload=") for name in named)


@pytest.mark.parametrize("name", ["layerwise_storage", "offload", "vae_slicing", "vae_tiling", "keep_text_encoder"])
def test_the_settings_exist_and_take_the_values_that_are_named(name: str) -> None:
    from framework.systems.memory import SWITCHES

    assert f"prior.{name}={SWITCHES[name][1]}" not in _savings(
        f"prior={{type: pretrained, model: sdxl, {name}: {SWITCHES[name][1]}}}"
    )


SMALL_EXPORT = "export={type: mesh, resolution: 24, texture_size: 32, formats: [glb]}"


def limit(monkeypatch: pytest.MonkeyPatch, points: int) -> list[int]:
    """Let a field that is asked for more than so many points, but in training, run out of memory; returns the sizes asked."""
    asked: list[int] = []
    whole = ChannelField.query

    def query(self: ChannelField, query: FieldQuery) -> FieldSample:
        if not query.step.is_training:
            asked.append(len(query.positions))
            if asked[-1] > points:
                raise torch.OutOfMemoryError(CUDA_SAYS)
        return whole(self, query)

    monkeypatch.setattr(ChannelField, "query", query)
    return asked


def test_pictures_and_export_that_run_out_of_memory_are_made_in_smaller_pieces(
    launch_in: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = []
    for name in ("enough", "little"):
        launch = launch_in(name)
        asked = limit(monkeypatch, 1 << 30 if name == "enough" else 1000)
        monkeypatch.setattr(mesh, "silhouette_views", partial(silhouette_views, size=16))
        monkeypatch.setattr("framework.systems.distillation.write_turntable", lambda mesh, path: path.touch())
        assert launch.small("trainer.max_steps=2", SMALL_EXPORT) == 0
        assert max(asked) > 1000 >= min(asked)
        runs += launch.runs()
        monkeypatch.undo()
    pictures = [torch.from_numpy(imageio.imread(run.images / "views-000002.png").astype("int16")) for run in runs]
    assert int((pictures[0] - pictures[1]).abs().max()) <= 1
    meshes = [load_glb(run.model) for run in runs]
    assert torch.equal(meshes[0].faces, meshes[1].faces)
    assert torch.allclose(meshes[0].vertices, meshes[1].vertices, atol=1e-4)
    told = {record.message for record in caplog.records if "Out of memory" in record.message}
    assert {message.split()[-3] for message in told} == {"rays", "points", "texels"}


def test_an_export_that_does_not_fit_at_all_says_so_and_keeps_the_training(
    launch: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = mesh.sample_density

    def sample_density(*args: Any, **settings: Any) -> Any:
        raise torch.OutOfMemoryError(CUDA_SAYS)

    monkeypatch.setattr(mesh, "sample_density", sample_density)
    assert launch.small("trainer.max_steps=2", SMALL_EXPORT) == 2
    (run,) = launch.runs()
    error = capsys.readouterr().err
    assert error.count("error:") == 1 and "The export ran out of memory" in error
    assert run.state()["state"] == "finished"
    monkeypatch.setattr(mesh, "sample_density", whole)


def test_the_largest_memory_of_each_phase_is_told_noted_and_reported(
    launch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.small("trainer.max_steps=2") == 0
    (run,) = launch.runs()
    phases = run.state()["memory"]
    assert phases.keys() == {"loading", "training", "pictures", "export"}
    assert all(0.0 < sizes["process"] <= run.state()["peak_memory_gib"] for sizes in phases.values())
    told = f"loading {phases['loading']['process']:.2f} GiB"
    assert f"Peak memory: {told}" in capsys.readouterr().out
    assert told in run.report.read_text()
