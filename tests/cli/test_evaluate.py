"""`--validate`, `--test`, `--export` with `--run`, which need no `--config`."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from framework.cli.main import main
from framework.core.run_directory import RunDirectory
from framework.export.turntable import write_turntable

# A mesh of a barely trained field: what matters is that it is written.
MESH = "export={type: mesh, resolution: 24, max_faces: 200, texture_size: 64, padding: 2}"
SHORT = "trainer.max_steps=2"


@pytest.fixture(autouse=True)
def short_turntable(monkeypatch: pytest.MonkeyPatch) -> None:
    short = functools.partial(write_turntable, frames=3, size=32, is_quiet=True)
    monkeypatch.setattr("framework.systems.distillation.write_turntable", short)


@pytest.fixture
def run(launch: Any) -> RunDirectory:
    assert launch.small(SHORT) == 0
    (only,) = launch.runs()
    return only


def test_a_run_ends_with_a_mesh_and_its_turntable_and_they_can_be_made_again(launch: Any) -> None:
    assert launch.small(SHORT, MESH) == 0
    (run,) = launch.runs()
    assert {path.suffix for path in run.mesh.iterdir()} == {".glb", ".obj", ".mtl", ".png", ".json"}
    model, video = run.mesh / "model.glb", run.turntable
    assert model.read_bytes()[:4] == b"glTF" and b"ftyp" in video.read_bytes()[:12]

    before = model.read_bytes()
    model.unlink(), video.unlink()
    assert main(["--export", "--run", str(run.root)]) == 0
    assert model.read_bytes() == before and video.is_file()

    video.unlink()
    assert main(["--test", "--run", str(run.root)]) == 0
    assert video.is_file()
    assert main(["--export", "--run", str(run.root), "export.max_faces=100"]) == 0
    assert len(model.read_bytes()) < len(before)


def test_an_empty_field_is_one_message_and_the_other_outputs_stay(
    launch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.small(SHORT, MESH, "system.scene.geometry.density_bias={type: constant, value: -50}") == 2
    (run,) = launch.runs()
    errors = capsys.readouterr().err
    assert errors.count("error:") == 1 and "densit" in errors
    assert run.state()["state"] == "finished"
    assert run.latest_checkpoint().is_file() and len(list(run.images.iterdir())) == 1
    assert not run.turntable.exists()
    assert "Training is done, but the export failed: " in run.report.read_text()


def test_validation_images_are_drawn_again(run: RunDirectory) -> None:
    picture = run.images / "views-000002.png"
    before = picture.read_bytes()
    picture.unlink()
    assert main(["--validate", "--run", str(run.root)]) == 0
    assert picture.read_bytes() == before


def test_a_checkpoint_cut_short_is_one_message(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    run.checkpoint(2).write_bytes(b"")
    assert main(["--export", "--run", str(run.root)]) == 2
    assert f"error: {run.checkpoint(2)}: is damaged or no checkpoint (0 bytes" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_is_one_message(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    run.checkpoint(2).unlink()
    assert main(["--validate", "--run", str(run.root)]) == 2
    assert f"error: {run.root / 'checkpoints'}: holds no checkpoint yet." in capsys.readouterr().err
