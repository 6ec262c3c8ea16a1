"""Images instead of scenes."""

from __future__ import annotations

from typing import Any

import imageio_ffmpeg
import pytest
import torch

from framework.core.checkpoint import load_checkpoint
from framework.core.registries import PRIORS
from framework.guidance.source import ToyboxScene
from framework.structures.views import Views

CONFIG = "configs/playground.yaml"
SMALL = ("prior={type: analytic, image_size: 16}", "system.size=16", "system.guidance.guidance_scale=1")


def test_images_become_what_the_prior_knows_from_each_side(launch: Any) -> None:
    assert launch(CONFIG, *SMALL, "trainer.max_steps=250", "system.images=3") == 0
    (run,) = launch.runs()
    canvas = load_checkpoint(run.checkpoint(250))["state"]["system"]["canvas"]
    prior = PRIORS.build(PRIORS.find("analytic").Config(image_size=16), device=torch.device("cpu"))
    azimuth, one = torch.deg2rad(torch.tensor([0.0, 135.0, 270.0])), torch.ones(3)
    angles = (azimuth, torch.deg2rad(15.0 * one), 2.7 * one, torch.deg2rad(45.0 * one))
    truth = prior.truth(Views.orbit(*angles, height=16, width=16))
    assert (canvas - truth).square().mean().sqrt() < 0.06
    assert canvas.min() >= 0.0 and canvas.max() <= 1.0


def test_the_result_and_a_film_of_its_making_are_written(launch: Any) -> None:
    assert launch(CONFIG, *SMALL, "trainer.max_steps=6", "trainer.validate_every=3") == 0
    (run,) = launch.runs()
    assert (run.root / "result.png").is_file()
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(run.root / "trajectory.mp4"))
    assert frames > 6
    assert (run.images / "views-000003.png").is_file() and run.report.is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("system.canvas=latents",), "system.guidance.main.buffer: has to be 'latent' on a canvas of latents"),
        (("system.guidance.buffer=normal",), "has to be 'rgb' on a canvas of pixels"),
        (("system.canvas=latents", "system.guidance.buffer=latent"), "asks for a prior that works on latents"),
        (("system.guidance=null",), "system.guidance: is empty"),
        (("system.images=0",), "images must be at least 1"),
    ],
)
def test_what_does_not_fit_together_is_said(
    launch: Any, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], message: str
) -> None:
    assert launch(CONFIG, *SMALL, *settings) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_edit_begins_with_its_source_and_ends_with_what_the_prompt_names(launch_in: Any) -> None:
    """Both rules by their configs, on the exact denoiser, which knows the answer; PDS holds on to the source."""
    small = ("prior={type: oracle, views: 64, image_size: 24}", "system.size=24", "system.images=2", "export=null")
    angles, one = torch.deg2rad(torch.tensor([0.0, 270.0])), torch.ones(2)
    views = Views.orbit(angles, torch.deg2rad(15.0 * one), 2.7 * one, torch.deg2rad(45.0 * one), height=24, width=24)
    before, after = (
        ToyboxScene(ToyboxScene.Config(prompt=text)).images(views) for text in ("a red cube", "a blue cube")
    )
    canvases = {}
    for name, steps in (("dds", 100), ("pds", 100), ("dds-start", 0)):
        launcher = launch_in(name)
        assert launcher(f"configs/{name[:3]}.yaml", *small, f"trainer.max_steps={max(steps, 1)}", *_still(steps)) == 0
        (run,) = launcher.runs()
        canvases[name] = load_checkpoint(run.checkpoint(max(steps, 1)))["state"]["system"]["canvas"]
    assert torch.allclose(canvases["dds-start"], before, atol=1e-3)
    assert (canvases["dds"] - after).square().mean().sqrt() < 0.03
    moved = (canvases["pds"] - before).flatten() @ (after - before).flatten() / (after - before).square().sum()
    assert 0.3 < moved < 0.8


def _still(steps: int) -> tuple[str, ...]:
    return () if steps else ("system.optimizer.parameters.canvas.learning_rate=0",)
