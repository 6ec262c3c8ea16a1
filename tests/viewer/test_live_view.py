"""A training that is watched: what its watchers see and do, and that it ends as one that nobody watches."""

from __future__ import annotations

import csv
import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from framework.bench.watcher import BrowserlessWatcher
from framework.core.checkpoint import load_checkpoint
from framework.core.run_directory import RunDirectory
from framework.core.step import StepInfo
from framework.data.random_views import RandomViews
from framework.structures.cameras import Cameras
from framework.structures.views import Views
from framework.viewer.pictures import KINDS
from framework.viewer.window import Window

ROOT = Path(__file__).resolve().parents[2]
RAMP = "system.losses.binarization.weight={type: linear, from: 0.0, to: 0.01, during: [0.0, 1.0]}"


def pixels(data: bytes) -> np.ndarray:
    """In one size, as pictures are the larger the quicker the machine is."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize((256, 256)), dtype=float)


def other_picture(watcher: BrowserlessWatcher, before: np.ndarray, *, since: int) -> np.ndarray:
    """The first full picture beyond number `since` that shows something else: one of before may still be under way."""
    found: list[np.ndarray] = []

    def has_come() -> bool:
        full = (pixels(item.data) for item in watcher.pictures[since:] if item.size >= 256)
        found[:] = [image for image in full if np.abs(image - before).mean() > 1.0]
        return bool(found)

    watcher.wait_for(has_come, "another picture")
    return found[0]


def final(run: RunDirectory, step: int = 10) -> dict[str, torch.Tensor]:
    assert run.state()["state"] == "finished"
    state: dict[str, torch.Tensor] = load_checkpoint(run.checkpoint(step))["state"]["system"]
    return state


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_that_was_watched_ends_as_one_that_was_not_bit_for_bit(
    launch_in: Any, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras: list[Cameras] = []
    sample = RandomViews.sample

    def noted(self: RandomViews, step: StepInfo, device: torch.device) -> Views:
        views = sample(self, step, device)
        cameras.append(views.cameras)
        return views

    monkeypatch.setattr(RandomViews, "sample", noted)

    def watch(watcher: BrowserlessWatcher) -> None:
        assert next(iter(KINDS)) == "rgb"
        shown = pixels(watcher.wait_for_picture(size=256).data)
        for kind in list(KINDS)[1:]:
            since = len(watcher.pictures)
            watcher.set("Show", kind)
            shown = other_picture(watcher, shown, since=since)
        since = len(watcher.pictures)
        watcher.look(1.5)
        other_picture(watcher, shown, since=since)
        watcher.set("Show", "mesh")
        watcher.wait_for(lambda: "/mesh" in watcher.nodes, "the mesh")
        assert watcher.positions["/cameras/random/0"] == pytest.approx(cameras[0].positions[0].tolist(), abs=1e-5)
        watcher.set("Cameras of the last batch", False)
        watcher.wait_for(lambda: "/cameras/random/0" not in watcher.nodes, "that the cameras have gone")
        watcher.press("Checkpoint now")
        watcher.wait_for(lambda: watcher.told, "that it has saved")
        watcher.set("Show", "normal")

    seen, alone = launch_in("seen"), launch_in("alone")
    assert watched(seen.small, watch) == 0
    assert alone.small() == 0
    assert are_equal(final(seen.runs()[0]), final(alone.runs()[0]))
    assert load_checkpoint(seen.runs()[0].checkpoint(1))["step"] == 1


def test_a_weight_set_by_hand_is_noted_logged_and_made_again_by_a_resumed_run(
    launch_in: Any, watched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def watch(watcher: BrowserlessWatcher) -> None:
        assert watcher.property("losses.binarization", "max") == 0.01
        watcher.set("losses.binarization", 0.008)
        watcher.press("Apply weights")
        watcher.wait_for(lambda: ("Weights", "From step 1 on.") in watcher.told, "that the weight is set")
        for value in (0.02, float("nan")):
            watcher.told.clear()
            watcher.set("losses.binarization", value)
            watcher.press("Apply weights")
            watcher.wait_for(lambda: any("must lie in [0, 0.01]" in text for _, text in watcher.told), "a refusal")

    steered, planned = launch_in("steered"), launch_in("planned")
    caplog.set_level("INFO", logger="framework")
    assert watched(steered.small, watch, RAMP, "trainer.checkpoint_every=1", "trainer.keep_checkpoints=99") == 0
    (run,) = steered.runs()
    edit = {"step": 1, "path": "losses.binarization", "value": 0.008}
    assert run.state()["weight_edits"] == [edit]
    assert "step 1: the weight of losses.binarization was set to 0.008 by hand." in caplog.text
    rows = list(csv.DictReader(run.metrics.read_text().splitlines()))
    assert [float(row["weight/losses.binarization"]) for row in rows] == [0.0] + [0.008] * 9
    assert "losses.binarization" in run.report.read_text() and "0.008" in run.report.read_text()

    # From the checkpoint before the edit, so that it is the note that brings it back.
    state = final(run)
    for step in range(2, 11):
        run.checkpoint(step).unlink()
    assert steered.small(RAMP, f"resume={run.root}") == 0
    assert are_equal(final(run), state)
    assert planned.small(RAMP) == 0
    assert not are_equal(final(planned.runs()[0]), state)


def test_nonsense_from_a_browser_ends_no_training(launch: Any, watched: Any) -> None:
    def watch(watcher: BrowserlessWatcher) -> None:
        watcher.set("Show", "the door")
        watcher.set("Scene", "another planet")
        watcher._send(
            type="ViewerCameraMessage", wxyz=(0, 0, 0, 0), position=(float("nan"), 0, 0), fov=-1.0, near=0.0, far=0.0,
            image_width=0, image_height=0, look_at=(0, 0, 0), up_direction=(0, 0, 1),
        )  # fmt: skip
        began = time.perf_counter()
        watcher.look(0.3)
        watcher.wait_for_picture(size=256, after=began)

    assert watched(launch.small, watch) == 0
    assert launch.runs()[0].state()["state"] == "finished"


def test_what_is_asked_for_is_exported_beside_the_results_of_the_run(
    launch: Any, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.systems.distillation.write_turntable", lambda mesh, path: path.touch())

    def watch(watcher: BrowserlessWatcher) -> None:
        watcher.press("Export now")
        watcher.wait_for(lambda: len(watcher.told) == 2, "that it has exported")

    small = ("system.streams.random={height: 16, width: 16}", "system.validation={size: 16, views: 2}",
             "export={resolution: 24, max_faces: 200, texture_size: 64, padding: 2}", "trainer.max_steps=3",
             "system.renderer.samples_per_ray=24", "system.scene.occupancy={resolution: 8}",
             "prior.image_size=16")  # fmt: skip

    def start(*settings: str) -> int:
        return int(launch("configs/debug/analytic.yaml", *small, *settings))

    assert watched(start, watch) == 0
    (run,) = launch.runs()
    assert (run.exported_at(1) / "mesh" / "model.glb").is_file() and run.model.is_file()


def test_stages_particles_and_meshes_are_watched_through_one_window(
    launch: Any, watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.systems.distillation.write_turntable", lambda mesh, path: path.touch())
    seen: list[tuple[str, bool]] = []

    def watch(watcher: BrowserlessWatcher) -> None:
        assert watcher.property("Scene", "options") == ["particle 0", "particle 1"]
        watcher.wait_for_picture(size=256)
        began = time.perf_counter()
        watcher.set("Scene", "particle 1")
        watcher.wait_for_picture(size=256, after=began)
        watcher.press("Resume")
        watcher.wait_for(lambda: any("surface" in text for text in made(watcher)), "the second stage")
        watcher.press("Pause")
        watcher.wait_for(lambda: watcher.property("Pause", "disabled"), "a pause")
        watcher.set("Show", "mesh")
        watcher.wait_for(lambda: "/mesh" in watcher.nodes, "the mesh")
        seen.append(("mesh", True))

    def made(watcher: BrowserlessWatcher) -> list[str]:
        return [message["props"]["_markdown"] for message in watcher.markdown]

    small = (
        "system.streams.random={height: 16, width: 16}", "system.validation={size: 16, views: 2}",
        "system.scene.occupancy={resolution: 8}", "prior.image_size=16", "system.n_particles=2",
        "stages.field.system.renderer.samples_per_ray=24", "stages.field.trainer.max_steps=4", "export=null",
        "stages.surface.system.scene.geometry.resolution=8", "stages.surface.trainer.max_steps=3",
    )  # fmt: skip

    def start(*settings: str) -> int:
        return int(launch("configs/debug/stages.yaml", *small, *settings))

    assert watched(start, watch) == 0
    assert seen == [("mesh", True)]


def test_ctrl_c_ends_a_pause(launch: Any, visited: Any) -> None:
    def visit(port: int) -> None:
        with BrowserlessWatcher(port, patience=240.0) as watcher:
            watcher.press("Pause")
            watcher.wait_for(lambda: watcher.property("Pause", "disabled"), "a pause")
            os.kill(os.getpid(), signal.SIGINT)

    assert visited(launch.small, visit) == 130
    (run,) = launch.runs()
    assert run.state()["state"] == "interrupted" and run.checkpoint(1).is_file()


def test_the_window_is_open_to_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tunnels: list[Any] = []
    monkeypatch.setattr("viser._viser.ViserTunnel", lambda *arguments: tunnels.append(arguments))
    window = Window(0)
    try:
        with socket.create_connection(("127.0.0.1", window.port), timeout=5.0):
            pass
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", window.port), timeout=5.0)
        # What viser does when a browser asks for an address on the internet.
        assert window._server.request_share_url() is None and tunnels == []
    finally:
        window.close()


def test_a_port_that_is_taken_is_refused_before_a_run_begins(
    launch: Any, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert launch.small(f"--viewer={port}") == 2
    assert f"--viewer {port}: the port cannot be had: Address already in use." in capsys.readouterr().err
    assert launch.runs() == []


def test_a_system_without_scenes_cannot_be_watched(launch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("configs/playground.yaml", "--viewer") == 2
    assert "--viewer: system 'playground' has no scene to watch. Leave --viewer out." in capsys.readouterr().err
    assert launch.runs() == []


def test_nothing_of_viser_is_imported_unless_a_viewer_is_asked_for() -> None:
    code = (
        "import sys, framework.cli.main, framework.cli.train, framework.cli.stages, framework.systems.callbacks\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('viser', 'websockets')]\n"
        "assert not [name for name in sys.modules if name.startswith('framework.viewer')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
