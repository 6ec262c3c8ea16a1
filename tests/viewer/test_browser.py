"""The viewer in a real browser: it connects, the picture changes, the buttons act."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from framework.core.checkpoint import load_checkpoint

BROWSER = Path(__file__).parents[1] / "export" / "browser"
INSTALL = "run .ci/install-browser-checks.sh"


def watch_in_chromium(port: int, folder: Path) -> dict[str, Any]:
    """What the page said, after all that `watch_training.mjs` does; its screenshots are in `folder`."""
    environment = {**os.environ, "CHROMIUM": chromium()}
    command = ["node", str(BROWSER / "watch_training.mjs"), f"http://127.0.0.1:{port}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip(f"Chromium is not installed: {INSTALL}")
    if shutil.which("node") is None or not (BROWSER / "node_modules").is_dir():
        pytest.skip(f"Node.js, or the packages of {BROWSER}, are not installed: {INSTALL}")
    return found


def test_a_browser_connects_turns_the_scene_and_its_buttons_act(launch: Any, visited: Any, tmp_path: Path) -> None:
    chromium()
    said: dict[str, Any] = {}
    assert visited(launch.small, lambda port: said.update(watch_in_chromium(port, tmp_path))) == 0
    (run,) = launch.runs()
    assert said["errors"] == [] and said["hosts"] == ["127.0.0.1"]
    step = int(said["notice"].rpartition("step-")[2].partition(".ckpt")[0])
    assert step < 10 and load_checkpoint(run.checkpoint(step))["step"] == step
    assert run.state()["state"] == "finished", "it went on"
    paused, turned, normal = (
        imageio.imread(tmp_path / f"{name}.png").astype(float)[..., :3] for name in ("paused", "turned", "normal")
    )
    assert paused.std() > 5.0, "there is something to see"
    assert np.abs(paused - turned).mean() > 0.5 and np.abs(turned - normal).mean() > 5.0
