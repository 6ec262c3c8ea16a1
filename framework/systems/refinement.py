"""What a run has made of the mesh file that it started from: both from the same views, before and after.

The untouched file is the control. Where the prompt names a scene of the toybox and the prior is one of the toybox's, the
truth is known, and both are compared with it; else it can only be told how far they are apart, not which is better.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.core.files import write_text
from framework.core.registries import PRIORS
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.export.loading import load_glb
from framework.export.mesh_rendering import render_mesh
from framework.geometry.mesh_file import load_mesh
from framework.structures.mesh import Mesh
from framework.structures.views import Lights, Views
from framework.systems.images import side_by_side, write_png
from framework.systems.starting import MESH_FILES, mesh_settings
from framework.toybox import tracing
from framework.toybox.captions import parse_scene
from framework.toybox.pack import ScenePack
from framework.toybox.rendering import render
from framework.toybox.scenes import build

ASSET, RESULT, SCENE = "asset", "result", "scene"
"""The rows of pictures: the file as it was, what was made of it, and what the prompt names."""

_PAIRS = ((RESULT, ASSET), (ASSET, SCENE), (RESULT, SCENE))
_TOYBOX_PRIORS = ("toybox", "oracle")
_AMBIENT = 0.5
_MIDDLE = 0.5  # of the range of everything that a prompt leaves open, as the oracle prior takes it
_log = logging.getLogger(__name__)


def compare_with_asset(run: RunConfig, folder: Path, views: Views) -> list[Path]:
    """Write how the exported mesh in `folder` looks beside the mesh file that `run` started from; returns the files.

    `refinement.png` has a column for each view and a row for each of the file, the result and, where it is known, the
    truth. `refinement.json` has their differences, view by view, as PSNR in dB. Light comes from the camera, so that they
    show colour and shape. Nothing is written of a run that did not start from a mesh file that is still there.

    Args:
        run: Its configuration.
        folder: Where `mesh/model.glb` lies.
        views: Cameras; their lights are replaced.
    """
    path = Path(run.start_from or "")
    if path.suffix.lower() not in MESH_FILES:
        return []
    directory, views = RunDirectory(folder), _lit_from_camera(views.to("cpu"))
    try:
        rows = {ASSET: _drawn(_asset(path, run), views), RESULT: _drawn(load_glb(directory.model), views)}
    except UserError as error:
        _log.warning("The result is not compared with what it was made of: %s", error)
        return []
    rows |= _truth(run, views)
    write_png(directory.refinement_picture, side_by_side(list(rows.values())))
    record = {"asset": str(path), "rows": list(rows), "views": _differences(rows, views)}
    write_text(directory.refinement, json.dumps(record, indent=2) + "\n")
    return [directory.refinement_picture, directory.refinement]


def _asset(path: Path, run: RunConfig) -> Mesh:
    """The file as the run has read it, with smooth normals, as the result has them."""
    settings = mesh_settings(path, run)
    mesh = load_mesh(path, up=settings.up, size=settings.size)
    vertices, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    return dataclasses.replace(mesh, normals=Mesh(vertices, index[mesh.faces]).vertex_normals()[index])


def _truth(run: RunConfig, views: Views) -> dict[str, Float[Tensor, "B H W 3"]]:
    """The row of what the prompt names; none where that is not known."""
    if PRIORS.name_of(run.prior) not in _TOYBOX_PRIORS:
        return {}
    try:
        spec = parse_scene(run.prompt)
    except ValueError:
        return {}
    count = len(views)
    pack = ScenePack.from_scenes([build(spec, [_MIDDLE] * spec.num_nuisances)])[[0] * count]
    lights = tracing.Lights(views.lights.positions.contiguous(), views.lights.ambient)
    return {SCENE: render(pack, cameras=views.cameras, lights=lights, background=torch.ones(count, 3)).rgb}


def _drawn(mesh: Mesh, views: Views) -> Float[Tensor, "B H W 3"]:
    return render_mesh(mesh, views).rgb.clamp(0.0, 1.0)


def _differences(rows: dict[str, Float[Tensor, "B H W 3"]], views: Views) -> list[dict[str, Any]]:
    """For each view its azimuth and the PSNR of the pairs that there are."""
    result: list[dict[str, Any]] = [{"azimuth_deg": round(angle, 1)} for angle in views.azimuth.rad2deg().tolist()]
    for one, other in _PAIRS:
        if one in rows and other in rows:
            error = (rows[one] - rows[other]).square().flatten(1).mean(dim=1).clamp_min(1e-10)
            for item, value in zip(result, (-10.0 * error.log10()).tolist(), strict=True):
                item[f"{one} against {other}"] = round(value, 2)
    return result


def _lit_from_camera(views: Views) -> Views:
    share = torch.full_like(views.azimuth, _AMBIENT)
    lights = Lights(views.cameras.positions, share, 1.0 - share, torch.zeros_like(share, dtype=torch.bool))
    return dataclasses.replace(views, lights=lights)
