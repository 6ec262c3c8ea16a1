"""Training in stages: in order, from one another, skipped where finished, and refused before the first one begins."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch

from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.stages import load_stages
from framework.core.step import StepInfo
from framework.structures.losses import LossTerms
from framework.systems.distillation import Distillation
from framework.systems.starting import Source

CONFIG = "configs/debug/stages.yaml"
SMALL = (
    "export=null",
    "trainer.max_steps=6",
    "trainer.log_every=1",
    "system.streams.random={height: 16, width: 16}",
    "system.validation={size: 16, views: 2}",
    "prior.image_size=16",
    "stages.field.system.scene.geometry.resolution=12",
    "stages.field.system.scene.occupancy={resolution: 8, every: 4}",
    "stages.field.system.renderer.samples_per_ray=16",
    "stages.surface.system.scene.geometry={resolution: 8, encoding: {num_levels: 3, log2_table_size: 8}}",
)


def whole(launch: Any) -> RunDirectory:
    """The folder of the only run."""
    (folder,) = {run.whole().root for run in launch.runs()}
    return RunDirectory(folder)


def states(run: RunDirectory) -> dict[str, Any]:
    return {folder.root.name: folder.state()["state"] for folder in run.stages()}


def stop(monkeypatch: pytest.MonkeyPatch, *, in_step: int, of: str) -> None:
    """Have the user press Ctrl-C in a step of the stage whose geometry is of class `of`, once."""
    whole_step, pressed = Distillation.training_step, []

    def training_step(self: Distillation, step: StepInfo) -> LossTerms:
        if step.step == in_step and type(self.scene.geometry).__name__ == of and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        return whole_step(self, step)

    monkeypatch.setattr(Distillation, "training_step", training_step)


def test_stages_are_trained_in_order_each_in_a_folder_of_its_own(launch: Any) -> None:
    assert launch(CONFIG, *SMALL) == 0

    run = whole(launch)
    assert run.state()["state"] == "finished" and states(run) == {"field": "finished", "surface": "finished"}
    for folder in run.stages():
        assert [path.stem for path in folder.checkpoints()] == ["step-000006"]
        assert (folder.images / "views-000006.png").is_file() and folder.report.is_file()
    page = run.report.read_text()
    assert "field" in page and "surface" in page and "surface/report.html" in page
    assert list(load_stages(run.config)) == ["field", "surface"]


def test_a_stage_begins_with_the_shape_that_the_one_before_has_left(launch: Any) -> None:
    assert launch(CONFIG, *SMALL, "stages.surface.trainer.max_steps=1", "trainer.checkpoint_every=1") == 0
    run = whole(launch)
    field, surface = run.stages()
    step = StepInfo(6, 6, 0, 0, "export")

    solid = Source.open(field.root).scenes.first()
    grid = Source.open(surface.root).scenes.first().geometry
    mesh = grid.surface(step)

    # The blob from which a field starts is a ball, and six steps change little of it.
    radius = mesh.vertices.norm(dim=1)
    assert solid.geometry.config.radius > radius.max() and radius.min() > 0.05
    assert float(radius.std() / radius.mean()) < 0.35
    assert load_stages(run.config)["surface"].start_from == "field"
    assert str(field.root) in surface.config.read_text()


def test_a_finished_stage_is_skipped_and_one_that_was_stopped_goes_on(
    launch: Any, launch_in: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = launch_in("straight")
    assert straight(CONFIG, *SMALL) == 0
    stop(monkeypatch, in_step=3, of="TetrahedralGrid")
    assert launch(CONFIG, *SMALL) == 130
    run = whole(launch)
    assert run.state()["state"] == "interrupted" and states(run) == {"field": "finished", "surface": "interrupted"}
    assert f"Go on with: resume={run.root}\n" in capsys.readouterr().out
    written = run.stage("field").checkpoint(6).stat().st_mtime_ns

    assert launch(CONFIG, *SMALL, "resume=last") == 0

    assert "Stage 'field' is finished" in capsys.readouterr().out
    assert run.state()["state"] == "finished" and run.stage("field").checkpoint(6).stat().st_mtime_ns == written
    contents = [load_checkpoint(item.stage("surface").checkpoint(6))["state"] for item in (run, whole(straight))]
    one, other = (content["system"] for content in contents)
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_one_stage_at_a_time(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(CONFIG, *SMALL, "--stage", "field") == 0
    run = whole(launch)
    assert states(run) == {"field": "finished"} and run.state()["state"] == "interrupted"
    assert launch(CONFIG, *SMALL, "--stage", "surface", f"resume={run.root}") == 0
    assert states(run) == {"field": "finished", "surface": "finished"} and run.state()["state"] == "finished"
    capsys.readouterr()
    assert launch(CONFIG, *SMALL, "--stage", "surfaces") == 2
    assert "this config has no stage 'surfaces'. Did you mean 'surface'?" in capsys.readouterr().err


def test_a_stage_whose_predecessor_is_missing_says_what_to_do(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(CONFIG, *SMALL, "--stage", "surface") == 2
    error = capsys.readouterr().err
    assert "Stage 'surface' starts from stage 'field', which has not been finished in" in error
    assert "Train it first: --stage field resume=" in error
    assert launch.runs() == []


def test_a_stage_whose_predecessor_failed_says_what_to_do(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(CONFIG, *SMALL, "--stage", "field", "stages.field.trainer.max_steps=2") == 0
    run = whole(launch)
    run.stage("field").set_state("failed", step=1, reason="as if the surface had vanished")
    capsys.readouterr()
    assert launch(CONFIG, *SMALL, "--stage", "surface", f"resume={run.root}") == 2
    assert "starts from stage 'field', which has not been finished" in capsys.readouterr().err
    assert not run.stage("surface").checkpoints()


def test_every_stage_is_checked_before_the_first_begins(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["stages.surface.system.renderer=volume", "stages.field.system.losses={shape: {type: laplacian}}"]
    assert launch(CONFIG, *SMALL, *settings) == 2
    error = capsys.readouterr().err
    assert "stages.surface.system.renderer: 'volume' cannot draw geometry 'tetrahedral-grid'" in error
    assert "stages.field.system.losses.shape: needs 'mesh', which renderer 'volume' does not provide" in error
    assert launch.runs() == []


def test_a_conversion_that_does_not_exist_is_refused_with_those_that_do(
    launch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["stages.surface.system.scene.geometry=voxel-grid", "stages.surface.system.renderer=volume"]
    settings += ["stages.surface.system.losses=null", "stages.field.system.scene.geometry=density-field"]
    assert launch(CONFIG, *SMALL[:6], *settings) == 2
    error = capsys.readouterr().err
    assert "stages.surface.system.scene.geometry: geometry 'density-field' cannot be converted to 'voxel-grid'" in error
    assert "'signed-distance-field', 'tetrahedral-grid'" in error


def test_what_has_stages_is_evaluated_by_its_last_one(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from framework.cli.main import main

    assert launch(CONFIG, *SMALL) == 0
    run = whole(launch)
    run.stage("surface").images.joinpath("views-000006.png").unlink()
    assert main(["--validate", "--run", str(run.root)]) == 0
    assert run.stage("surface").images.joinpath("views-000006.png").is_file()
    assert main(["--report", "--run", str(run.root)]) == 0


def test_a_stage_can_start_from_another_run_and_keep_what_is_frozen(launch: Any) -> None:
    assert launch(CONFIG, *SMALL, "--stage", "field") == 0
    source = whole(launch).root
    extra = ["freeze=[scene.geometry.encoding, scene.geometry.mlp]", "stages.surface.trainer.max_steps=3"]
    extra += ["trainer.checkpoint_every=1", "trainer.keep_checkpoints=9", f"stages.surface.start_from={source}"]
    assert launch(CONFIG, *SMALL, *extra, "--stage", "surface") == 0
    (other,) = {run.whole().root for run in launch.runs()} - {source}
    surface = RunDirectory(other).stage("surface")

    first, last = (load_checkpoint(surface.checkpoint(step))["state"]["system"] for step in (1, 3))
    frozen = [name for name in first if ".encoding." in name or ".mlp." in name]
    assert frozen and all(torch.equal(first[name], last[name]) for name in frozen)
    assert not torch.equal(first["scenes.0.geometry.signed_distance"], last["scenes.0.geometry.signed_distance"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["start_from=/nowhere/run"], "start_from: there is no stage, run folder or mesh file '/nowhere/run'"),
        (["stages.surface.freeze=[scene.shape]"], "freeze: 'scene.shape' matches no parameter."),
    ],
)
def test_starts_and_paths_that_are_not_there_are_one_error(
    launch: Any, capsys: pytest.CaptureFixture[str], settings: list[str], message: str
) -> None:
    assert launch(CONFIG, *SMALL, *settings) == 2
    assert message in capsys.readouterr().err
