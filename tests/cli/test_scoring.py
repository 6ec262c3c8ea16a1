"""`--evaluate`: scores of files and runs, and what is said where there is nothing to score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from framework.cli.main import main
from framework.core.run_directory import RunDirectory
from framework.export.gltf import write_glb
from framework.export.isosurface import extract_surface
from framework.structures.mesh import Mesh
from framework.systems import loggers
from framework.toybox.captions import parse_scene
from framework.toybox.colors import COLORS
from framework.toybox.pack import ScenePack, signed_distance
from framework.toybox.scenes import build


def write_scene(prompt: str, color: str, path: Path) -> None:
    """The scene of a prompt as an exported mesh of one colour."""
    spec = parse_scene(prompt)
    line = torch.linspace(-0.9, 0.9, 48)
    grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    pack = ScenePack.from_scenes([build(spec, [0.5] * spec.num_nuisances)])
    surface = extract_surface(-signed_distance(pack, grid.reshape(1, -1, 3)).reshape(48, 48, 48), radius=0.9)
    write_glb(
        Mesh(
            surface.vertices,
            surface.faces,
            normals=surface.vertex_normals(),
            uvs=torch.full((len(surface.vertices), 2), 0.5),
            texture=torch.tensor(COLORS[color]).expand(4, 4, 3).contiguous(),
        ),
        path,
    )


def run_of(root: Path, prompt: str, *, shows: str = "") -> RunDirectory:
    directory = RunDirectory.create(str(root), "tiny", prompt)
    directory.config.write_text(f"name: tiny\nprompt: {prompt}\n", encoding="utf-8")
    directory.set_state("finished", step=1)
    directory.note({"seconds": 12.5, "peak_memory_gib": 0.5})
    if shows:
        directory.mesh.mkdir()
        write_scene(shows, shows.split()[1], directory.model)
        (directory.mesh / "export.json").write_text(json.dumps({"psnr": 30.0}), encoding="utf-8")
    return directory


def test_a_file_is_scored_against_the_prompt_that_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "thing.glb"
    write_scene("a red chair", "red", path)
    assert main(["--evaluate", str(path), "prompt=a red chair"]) == 0
    scores = json.loads((tmp_path / "thing.scores.json").read_text())
    assert scores["prompt"] == "a red chair"
    assert scores["iou"] > 0.8 and scores["margin"] > 0.0 and scores["color"]["named"] > 0.95
    assert "a red chair" in capsys.readouterr().out


def test_runs_are_scored_reported_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = run_of(tmp_path, "a red cone", shows="a red cone"), run_of(tmp_path, "a cube", shows="a blue cone")
    sent: list[tuple[RunDirectory, dict[str, Any]]] = []
    monkeypatch.setattr(loggers, "add_scores", lambda run, scores: sent.append((run, scores)))
    assert main(["--evaluate", str(right.root), str(wrong.root)]) == 0
    good, bad = (json.loads(run.scores.read_text()) for run in (right, wrong))
    assert good["margin"] > 0.0 > bad["margin"]
    assert good["seconds"] == 12.5 and good["peak_memory_gib"] == 0.5 and good["export"] == {"psnr": 30.0}
    assert sent == [(right, good), (wrong, bad)]
    assert right.report.is_file() and wrong.report.is_file()
    assert (tmp_path / "tiny" / "comparison.html").is_file()
    assert "comparison.html" in capsys.readouterr().out


def test_each_particle_of_a_run_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path, "a cone", shows="a red cone")
    for name, shows in (("particle-1", "a blue cone"), ("particle-2", "a blue cube")):
        path = run.root / name / "mesh" / "model.glb"
        path.parent.mkdir(parents=True)
        write_scene(shows, "blue", path)
    assert main(["--evaluate", str(run.root)]) == 0
    files = [run.scores, *(run.root / f"particle-{number}" / "mesh" / "model.scores.json" for number in (1, 2))]
    first, second, third = (json.loads(file.read_text())["iou"] for file in files)
    assert first == pytest.approx(second) and third < first - 0.1
    assert capsys.readouterr().out.count("(particle-") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no run folder and no GLB file at 'nowhere'"),
        (["FILE"], "what should it be"),
        (["FILE", "prompt=a corgi"], "does not know 'corgi'"),
        (["FILE", "prompt=red cube blue"], "has no scene like 'red cube blue'"),
        (["FILE", "prompt=a cube", "seed=1"], "seed: --evaluate takes no setting but prompt"),
        (["RUN"], "has no exported mesh"),
    ],
)
def test_what_cannot_be_scored_is_told(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thing.glb").write_bytes(b"")
    places = {"FILE": str(tmp_path / "thing.glb"), "RUN": str(run_of(tmp_path, "a cube").root)}
    assert main(["--evaluate", *(places.get(word, word) for word in arguments)]) == 2
    assert message in capsys.readouterr().err
