"""Mesh files painted anew and smoothed: spoiled toybox scenes heal, and what has become of them is told honestly."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from assets import toy_surface, write_asset

from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.core.stages import load_stages
from framework.data.orbit_views import OrbitViews
from framework.export.gltf import write_glb
from framework.export.loading import load_glb
from framework.export.turntable import write_turntable
from framework.structures.mesh import SurfaceTextures
from framework.structures.views import Views
from framework.systems.refinement import compare_with_asset

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "refine.yaml"
PROMPT = "a red mushroom"
SMALL = (
    f"prompt={PROMPT}",
    "prior={type: oracle, views: 16}",
    "system.guidance.guidance_scale=1",
    "system.streams.random={height: 32, width: 32}",
    "system.scene.geometry.size=null",
    "system.validation={size: 16, views: 2}",
    "export={texture_size: 256, formats: [glb]}",
)


@pytest.fixture(autouse=True)
def short_turntable(monkeypatch: pytest.MonkeyPatch) -> None:
    short = functools.partial(write_turntable, frames=2, size=32, is_quiet=True)
    monkeypatch.setattr("framework.systems.distillation.write_turntable", short)


def refine(launch: Any, asset: Path, *settings: str) -> RunDirectory:
    assert launch(CONFIG, "--from", str(asset), *SMALL, *settings) == 0
    (run,) = launch.runs()
    assert isinstance(run, RunDirectory)
    return run


def mean(run: RunDirectory, pair: str) -> float:
    """PSNR of a pair over all views, dB."""
    return statistics.fmean(view[pair] for view in json.loads(run.refinement.read_text())["views"])


@pytest.mark.parametrize("is_shiny", [False, True], ids=["matte", "physically based"])
def test_wrong_colours_heal_on_the_faces_and_coordinates_of_the_file(
    launch: Any, tmp_path: Path, is_shiny: bool
) -> None:
    scene = toy_surface(PROMPT)
    asset = write_asset(tmp_path / "asset.glb", scene, colors=scene.albedo[:, [2, 0, 1]])
    shiny = ("system.scene.material=physically-based", "system.scene.geometry.num_features=5")
    run = refine(launch, tmp_path / "asset.glb", "trainer.max_steps=40", *(shiny if is_shiny else ()))

    result = load_glb(run.model)
    assert result.uvs is not None and asset.uvs is not None and len(result.faces) == len(asset.faces)
    assert torch.allclose(result.vertices[result.faces], asset.vertices[asset.faces], atol=1e-6)
    assert torch.allclose(result.uvs[result.faces], asset.uvs[asset.faces], atol=1e-6)
    assert (result.surface is not None) == is_shiny
    before, after = mean(run, "asset against scene"), mean(run, "result against scene")
    assert after > before + 4.0  # less than 0.4 of the squared error
    assert mean(run, "result against asset") < 25.0
    page = run.report.read_text()
    assert "Before and after" in page and f'<td class="number">{after:.1f}</td>' in page


@pytest.mark.slow
def test_a_noisy_surface_heals_where_its_vertices_are_free(launch: Any, tmp_path: Path) -> None:
    scene = toy_surface(PROMPT)
    asset = write_asset(tmp_path / "asset.glb", scene, noise=0.02)
    run = refine(launch, tmp_path / "asset.glb", "variant=free", "trainer.max_steps=100")
    result = load_glb(run.model)
    assert len(result.faces) == len(asset.faces)
    before, after = (float(scene.distance(mesh.vertices).abs().mean()) for mesh in (asset, result))
    assert after < 0.5 * before
    assert mean(run, "result against scene") > mean(run, "asset against scene") + 1.5


def test_a_run_of_no_steps_gives_back_what_the_file_looks_like(launch: Any, tmp_path: Path) -> None:
    asset = write_asset(tmp_path / "asset.glb", toy_surface(PROMPT))
    orm = torch.tensor([1.0, 0.2, 0.8]).expand(64, 64, 3).contiguous()
    write_glb(dataclasses.replace(asset, surface=SurfaceTextures(orm)), tmp_path / "asset.glb")
    still = "system.optimizer.parameters={scene.geometry: 0, scene.geometry.encoding: 0, scene.geometry.mlp: 0}"
    still = still.replace(": 0", ": {learning_rate: 0}")
    run = refine(launch, tmp_path / "asset.glb", "trainer.max_steps=1", still)
    assert mean(run, "result against asset") > 30.0
    assert mean(run, "result against scene") > mean(run, "asset against scene") - 1.5
    surface = load_glb(run.model).surface  # which the run's matte material says nothing of
    assert surface is not None and torch.allclose(surface.orm, orm, atol=3e-3)


@pytest.fixture
def views() -> Views:
    return OrbitViews(OrbitViews.Config(height=24, width=24, num_views=3), name="test").views(3)


def started_from(asset: Path, *settings: str) -> RunConfig:
    return load_stages(CONFIG, [*SMALL, f"start_from={asset}", *settings])[""]


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ((), ["asset", "result", "scene"]),
        (("prompt=a marble bust",), ["asset", "result"]),
        (("prior=deepfloyd-if",), ["asset", "result"]),
    ],
    ids=["toybox", "another prompt", "another prior"],
)
def test_the_truth_is_shown_where_it_is_known(
    tmp_path: Path, views: Views, settings: tuple[str, ...], rows: list[str]
) -> None:
    write_asset(tmp_path / "asset.glb", toy_surface(PROMPT))
    run = RunDirectory(tmp_path)
    run.mesh.mkdir()
    shutil.copy(tmp_path / "asset.glb", run.model)
    written = compare_with_asset(started_from(tmp_path / "asset.glb", *settings), tmp_path, views)

    assert written == [run.refinement_picture, run.refinement]
    record = json.loads(run.refinement.read_text())
    assert record["rows"] == rows and [view["azimuth_deg"] for view in record["views"]] == [0.0, 120.0, 240.0]
    assert mean(run, "result against asset") > 40.0
    if "scene" in rows:
        assert mean(run, "asset against scene") == pytest.approx(mean(run, "result against scene"), abs=0.3)
        assert mean(run, "asset against scene") > 18.0
    else:
        assert set(record["views"][0]) == {"azimuth_deg", "result against asset"}


def test_a_file_that_is_gone_is_a_warning(tmp_path: Path, views: Views, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert compare_with_asset(started_from(tmp_path / "gone.glb"), tmp_path, views) == []
    assert "not compared with what it was made of" in caplog.text and "gone.glb" in caplog.text


def test_a_run_from_a_run_is_not_compared(tmp_path: Path, views: Views) -> None:
    assert compare_with_asset(started_from(tmp_path), tmp_path, views) == []
