"""`--validate`, `--test`, `--export` with `--run`, which need no `--config`."""

from __future__ import annotations

from typing import Any

import pytest

from framework.cli.main import main
from framework.core.run_directory import RunDirectory

# A mesh of a barely trained field: what matters is that it is written.
FULL = (
    "export={type: mesh, resolution: 16, max_faces: 200, texture_size: 64, padding: 2}",
    "prior={type: analytic, image_size: 16}",
    "system.scene.geometry.density_bias={strength: 40.0}",
)


@pytest.fixture
def run(launch: Any) -> RunDirectory:
    assert launch.small("trainer.max_steps=2", *FULL, "export=null") == 0
    (only,) = launch.runs()
    return only


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
