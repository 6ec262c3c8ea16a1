"""Scenes that a prior on latents shapes: by latents that they emit, and by normals that stand in for latents at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from framework.core.config import load_config
from framework.core.registries import SYSTEMS
from framework.core.step import StepInfo
from framework.systems.distillation import Distillation

ROOT = Path(__file__).resolve().parents[2]
VOLUME = """\
name: latent-scene
prior: {folder}
system:
  type: distillation
  scene:
    geometry: {{type: voxel-grid, resolution: 8, num_features: 4}}
    material: {{type: latent-radiance}}
    occupancy: {{resolution: 4}}
  renderer: {{type: volume, samples_per_ray: 12}}
  streams:
    random: {{type: random-views, height: 8, width: 8}}
  guidance: {{type: score-distillation, buffer: latent, prompts: plain}}
  optimizer: {{type: adam, parameters: {{scene.geometry: {{learning_rate: 0.1}}}}}}
"""
SURFACE = """\
name: warmed
prior: {folder}
system:
  type: distillation
  scene:
    geometry: {{type: tetrahedral-grid, resolution: 6}}
  renderer: {{type: rasterizer}}
  streams:
    random: {{type: random-views, height: 16, width: 16}}
  guidance: {{type: score-distillation, buffer: normal, latent_until: 2, prompts: plain, preview_every: 1}}
  optimizer: {{type: adam, parameters: {{scene.geometry: {{learning_rate: 0.001}}}}}}
"""


def built(text: str, folder: Path, tmp_path: Path) -> Distillation:
    path = tmp_path / "config.yaml"
    path.write_text(text.format(folder=folder), encoding="utf-8")
    run, _ = load_config(path, [])
    assert Distillation.check(run.system, run) == []
    system = SYSTEMS.build(run.system, run=run, device=torch.device("cpu"))
    assert isinstance(system, Distillation)
    return system


def test_a_guidance_on_latents_trains_the_field_without_the_encoder(
    latent_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = built(VOLUME, latent_folder, tmp_path)
    guidance = system.guidance["main"]

    def fail(images: Any) -> None:
        raise AssertionError("latents need no encoder")

    monkeypatch.setattr(guidance.prior, "encode", fail)
    system.training_step(StepInfo(1, 10)).total().backward()
    gradient = system.scene.geometry.values.grad
    assert gradient is not None and bool(gradient.isfinite().all()) and bool(gradient[:, 1:5].any())
    assert system.images(StepInfo(1, 10, mode="validate"))["views"].shape[-1] == 3


def test_normals_and_opacity_are_the_latents_until_the_step_that_is_named(latent_folder: Path, tmp_path: Path) -> None:
    system = built(SURFACE, latent_folder, tmp_path)
    guidance = system.guidance["main"]
    views = system.streams["random"].sample(StepInfo(1, 10), torch.device("cpu"))
    render = system.renderer.render(views, system.scene, system.needs["random"], StepInfo(1, 10))
    warm, later = (guidance.clean_sample(render, StepInfo(step, 10)) for step in (1, 2))
    assert warm.shape == later.shape == (1, *guidance.prior.sample_shape)
    assert render.normal is not None
    # Each latent is the mean of 2 x 2 pixels where these are alike, so that means over the image agree.
    torch.testing.assert_close(warm[0, :3].mean(dim=(1, 2)), render.normal[0].mean(dim=(0, 1)), atol=2e-2, rtol=0.0)
    torch.testing.assert_close(warm[0, 3].mean(), render.opacity.mean(), atol=2e-2, rtol=0.0)
    torch.testing.assert_close(later, guidance.prior.encode(0.5 * render.normal + 0.5))
    for step in (1, 2):
        system.zero_grad()
        system.training_step(StepInfo(step, 10)).total().backward()
        gradient = system.scene.geometry.signed_distance.grad
        assert gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())


def test_latents_without_a_material_that_has_some_are_refused_before_weights_are_read(
    latent_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(VOLUME.format(folder=latent_folder), encoding="utf-8")
    run, _ = load_config(path, ["system.scene.material=radiance"])
    assert [str(problem) for problem in Distillation.check(run.system, run)] == [
        "system.guidance.main: needs 'latent', which material 'radiance' does not have. Use material 'latent-radiance'."
    ]


def test_a_warm_up_on_latents_is_refused_of_a_prior_on_pixels_and_of_other_images() -> None:
    settings = ["system.guidance.buffer=normal", "system.guidance.latent_until=10"]
    run, _ = load_config(ROOT / "configs" / "dreamfusion.yaml", settings)
    (problem,) = Distillation.check(run.system, run)
    assert str(problem).startswith("system.guidance.main.latent_until: asks for a prior that works on latents")
    with pytest.raises(Exception, match="latent_until needs buffer: normal, got 'rgb'"):
        load_config(ROOT / "configs" / "dreamfusion.yaml", settings[1:])
