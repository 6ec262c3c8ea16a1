"""Exported files in programs that are not ours: the glTF validator, and three.js in Chromium.

Both run under Node.js; `.ci/install-browser-checks.sh` installs what they need. Without it these tests are skipped.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch
import trimesh

from framework.export.gltf import write_glb
from framework.export.mesh_rendering import render_mesh
from framework.export.texturing import bake, unwrap
from framework.structures.mesh import Mesh, SurfaceTextures
from framework.structures.views import Views

FOLDER = Path(__file__).parent / "browser"
INSTALL = "run .ci/install-browser-checks.sh"
SIZE = 128


def node(script: str, *arguments: str, chromium: str = "") -> str:
    """Output of one of the scripts in `browser/`; skips the test where Node.js or its packages are missing."""
    if shutil.which("node") is None:
        pytest.skip(f"Node.js is not installed: {INSTALL}")
    if not (FOLDER / "node_modules").is_dir():
        pytest.skip(f"the packages of {FOLDER} are not installed: {INSTALL}")
    command = ["node", str(FOLDER / script), *arguments]
    environment = {**os.environ, "CHROMIUM": chromium}
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def lopsided() -> Mesh:
    """A textured solid that looks different from every side: a ball with a nose at the front and a hat."""
    parts = [
        trimesh.creation.icosphere(3, 0.5),
        trimesh.creation.icosphere(2, 0.15).apply_translation([0.55, 0.1, 0.0]),
        trimesh.creation.cylinder(0.25, 0.4).apply_translation([0.0, -0.1, 0.5]),
    ]
    solid = trimesh.util.concatenate(parts)
    bare = Mesh(torch.tensor(solid.vertices, dtype=torch.float32), torch.tensor(solid.faces.copy()))
    mesh = Mesh(bare.vertices, bare.faces, normals=bare.vertex_normals())

    def color(positions: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        return (0.5 + 0.6 * positions).clamp(0.0, 1.0)

    return bake(unwrap(mesh, texture_size=256, padding=4), color, texture_size=256)


@pytest.mark.parametrize("kind", ["bare", "matte", "physically based", "with bent normals"])
def test_the_gltf_validator_finds_nothing_to_complain_about(
    lopsided: Mesh, shiny_ball: Mesh, tmp_path: Path, kind: str
) -> None:
    assert shiny_ball.surface is not None
    mesh = {
        "bare": Mesh(lopsided.vertices, lopsided.faces, normals=lopsided.normals),
        "matte": lopsided,
        "physically based": dataclasses.replace(shiny_ball, surface=SurfaceTextures(shiny_ball.surface.orm)),
        "with bent normals": shiny_ball,
    }[kind]
    write_glb(mesh, tmp_path / "model.glb")
    report = json.loads(node("validate_gltf.mjs", str(tmp_path / "model.glb")))
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["totalTriangleCount"] == len(mesh.faces)


def test_three_js_shows_what_our_own_render_shows(lopsided: Mesh, tmp_path: Path) -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip(f"Chromium is not installed: {INSTALL}")
    angle = torch.tensor([math.radians(35.0)])
    views = Views.orbit(angle, 0.6 * angle, torch.tensor([2.5]), angle + 0.1, height=SIZE, width=SIZE)
    color, normal = three_js_render(lopsided, views, tmp_path, chromium)
    ours = render_mesh(lopsided, views, supersampling=2)
    assert psnr(color, ours.rgb[0]) > 35.0
    # three.js shows normals in camera space, as colours.
    to_camera = views.cameras.world_to_camera()[0, :3, :3]
    expected = (0.5 * ours.normal[0] @ to_camera.T + 0.5) * ours.opacity[0] + (1.0 - ours.opacity[0])
    assert psnr(normal[ours.opacity[0, ..., 0] == 1.0], expected[ours.opacity[0, ..., 0] == 1.0]) > 35.0
    # A mirrored or turned picture would not pass.
    assert psnr(color.flip(1), ours.rgb[0]) < 20.0
    assert psnr(color.flip(0), ours.rgb[0]) < 20.0


def three_js_render(mesh: Mesh, views: Views, folder: Path, chromium: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Colour and normal image (H, W, 3) of the first view, two samples a pixel each way."""
    write_glb(mesh, folder / "model.glb")
    to_gltf = torch.eye(4)[[1, 2, 0, 3]]
    camera = {
        "size": 2 * SIZE,
        "fovYDegrees": math.degrees(views.cameras.fov_y[0]),
        "cameraToWorld": (to_gltf @ views.cameras.camera_to_world[0]).T.flatten().tolist(),
    }
    (folder / "camera.json").write_text(json.dumps(camera))
    node("render_gltf.mjs", str(folder / "model.glb"), str(folder / "camera.json"), str(folder), chromium=chromium)
    color, normal = (
        torch.from_numpy(imageio.imread(folder / f"{name}.png", plugin="pillow", mode="RGB")) / 255.0
        for name in ("color", "normal")
    )
    shape = (SIZE, 2, SIZE, 2, 3)
    return color.reshape(shape).mean(dim=(1, 3)), normal.reshape(shape).mean(dim=(1, 3))


def psnr(image: torch.Tensor, expected: torch.Tensor) -> float:
    return -10.0 * math.log10((image - expected).square().mean().clamp_min(1e-10).item())
