"""Runs that start from mesh files: bad files are one clear error, and surfaces that vanish end the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trimesh

from framework.core.step import StepInfo
from framework.geometry import mesh_file
from framework.systems.distillation import Distillation

PAINTED, GRID = "configs/refine.yaml", "configs/dreamfusion-refine.yaml"
SMALL = (
    "prior={type: analytic, image_size: 16}",
    "export=null",
    "trainer.max_steps=6",
    "trainer.validate_every=0",
    "system.scene.geometry.encoding={num_levels: 3, log2_table_size: 8}",
    "system.streams.random={height: 16, width: 16}",
    "system.validation={size: 16, views: 2}",
)
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.mark.parametrize("config", [PAINTED, GRID])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no triangles"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "holds no triangles"),
        ("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "the positions of 1 of 3 vertices are not finite numbers"),
        ("v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "its bounding box is 0 long"),
        ("v 0 0 0\nv 1 0 0\nv 0 0 0\nf 1 2 3\n", "none of its triangles has three corners in different places"),
        (TETRAHEDRON, "has 4 faces, more than 3. Simplify it first"),
    ],
    ids=["empty", "no faces", "not a number", "point", "line", "huge"],
)
def test_a_mesh_that_cannot_be_used_is_one_error_and_leaves_no_run(
    launch: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    text: str,
    message: str,
) -> None:
    monkeypatch.setattr(mesh_file, "_MOST_FACES", 3)
    path = tmp_path / "asset.obj"
    path.write_text(text)
    assert launch(config, "--from", str(path), *SMALL) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ") and message in errors and str(path) in errors
    assert launch.runs() == []


def test_a_missing_mesh_is_named_before_anything_is_built(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(PAINTED, "--from", "/nowhere/asset.glb", *SMALL) == 2
    assert "start_from: there is no mesh file /nowhere/asset.glb." in capsys.readouterr().err


def test_a_mesh_with_holes_and_fins_is_trained_on_with_a_warning(
    launch: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    fins = [[0, 1, len(ball.vertices)], *ball.faces[10:].tolist()]
    mesh = trimesh.Trimesh([*ball.vertices.tolist(), [0.0, 0.0, 3.0]], fins, process=False)
    mesh.export(tmp_path / "fins.ply")
    assert launch(PAINTED, "--from", str(tmp_path / "fins.ply"), *SMALL) == 0
    assert "fins.ply: not a closed manifold" in caplog.text


def shrink(system: Distillation) -> None:
    system.scene.geometry.signed_distance.data.fill_(1.0)


def explode(system: Distillation) -> None:
    system.scene.geometry.vertices.data.mul_(100.0)


@pytest.mark.parametrize(
    ("config", "destroy", "cause"),
    [
        (GRID, shrink, "the surface has no faces any more"),
        (PAINTED, explode, "the surface reaches 70 from the origin, far beyond its cube, which ends at 1"),
    ],
)
@pytest.mark.parametrize("interval", [2, 3], ids=["found before a checkpoint", "found in the next step"])
def test_a_surface_that_is_destroyed_ends_the_training_and_no_checkpoint_holds_it(
    launch: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    destroy: Callable[[Distillation], None],
    cause: str,
    interval: int,
) -> None:
    def after_step(self: Distillation, step: StepInfo) -> None:
        if step.step == 3:
            destroy(self)

    monkeypatch.setattr(Distillation, "after_step", after_step)
    path = tmp_path / "ball.ply"
    trimesh.creation.icosphere(subdivisions=2).export(path)
    assert launch(config, "--from", str(path), *SMALL, f"trainer.checkpoint_every={interval}") == 2
    (run,) = launch.runs()
    assert [item.stem for item in run.checkpoints()] == [f"step-{interval:06d}"]
    expected = f"step 4: {cause}. The last good checkpoint is {run.checkpoint(interval)}. Lower the learning rate"
    assert expected in capsys.readouterr().err
    assert run.state()["state"] == "failed" and cause in run.state()["reason"]
    assert torch.load(run.checkpoint(interval), weights_only=True)["step"] == interval
