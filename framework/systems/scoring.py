"""How good finished objects are: what the toybox measures, what the judge sees, and what their runs recorded."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from framework.export.loading import load_glb
from framework.export.mesh_rendering import MeshRenderer
from framework.structures.cameras import framing_distance
from framework.structures.mesh import Mesh
from framework.structures.views import Lights, Views
from framework.toybox.captions import caption
from framework.toybox.evaluation.identity import is_same_shape
from framework.toybox.evaluation.scores import evaluate_mesh
from framework.toybox.judge.network import SIZE, Opinion
from framework.toybox.judge.weights import has_bundled_judge, load_judge
from framework.toybox.scenes import SceneSpec

NUM_VIEWS = 8
"""Views that the judge's opinion averages."""
_ELEVATION, _FOV_Y, _FRAMING = math.radians(20.0), math.radians(45.0), 1.03
_AMBIENT = 0.5
_BACKGROUNDS = ((0.92, 0.92, 0.92), (0.25, 0.30, 0.40), (0.55, 0.75, 0.85), (0.75, 0.65, 0.50))
"""One after the other, so that an object of any colour stands out in most views."""


@dataclass(frozen=True)
class Scored:
    """The scores of one object.

    Attributes:
        values: Plain values by name, as `scores.json` holds them.
    """

    values: dict[str, Any]

    @property
    def judges_agree(self) -> bool | None:
        """Whether the network and the search without one name the same thing; None if one of them was not asked."""
        return self.values["judge"]["agrees"] if self.values.get("judge") else None


def score(glb: Path, spec: SceneSpec, *, with_margin: bool = True) -> Scored:
    """Score an exported mesh, read back from disk, against the scene that a caption names.

    Args:
        glb: What export wrote; what it recorded beside it (`export.json`) is taken over.
        spec: What the caption names.
        with_margin: Also search the vocabulary for a better name, which takes longer than the rest.

    Raises:
        UserError: If the file cannot be read.
    """
    started = time.perf_counter()
    mesh = load_glb(glb)
    values = evaluate_mesh(mesh, spec, with_margin=with_margin).to_dict()
    values["judge"] = _judged(mesh, spec, values) if has_bundled_judge() else None
    values["export"] = _recorded(glb.with_name("export.json"))
    values["scored_in_seconds"] = round(time.perf_counter() - started, 2)
    return Scored(values)


def opinion_of(mesh: Mesh) -> Opinion:
    """What the judge makes of a mesh."""
    return load_judge().opinion(judge_views(mesh))


@torch.no_grad()
def judge_views(mesh: Mesh) -> Float[Tensor, "V H W 3"]:
    """What the judge is shown: the mesh from all around, as large as toybox scenes are in their images."""
    azimuth = torch.arange(NUM_VIEWS) * (2.0 * math.pi / NUM_VIEWS)
    one = torch.ones(NUM_VIEWS)
    distance = framing_distance(_FOV_Y * one, _FRAMING * one)
    views = Views.orbit(azimuth, _ELEVATION * one, distance, _FOV_Y * one, height=SIZE, width=SIZE)
    above = views.cameras.positions + torch.tensor([0.0, 0.0, 1.0])
    lights = Lights(above, _AMBIENT * one, (1.0 - _AMBIENT) * one, torch.zeros(NUM_VIEWS, dtype=torch.bool))
    lit = Views(views.cameras, views.azimuth, views.elevation, views.distance, lights)
    colors = torch.tensor(_BACKGROUNDS).repeat(-(-NUM_VIEWS // len(_BACKGROUNDS)), 1)[:NUM_VIEWS]
    background = colors[:, None, None].expand(NUM_VIEWS, SIZE, SIZE, 3)
    return MeshRenderer(mesh).render(lit, background=background).rgb


def _judged(mesh: Mesh, spec: SceneSpec, values: dict[str, Any]) -> dict[str, Any]:
    opinion = opinion_of(mesh)
    has_margin = values["margin"] is not None
    seen = opinion.seen
    return {
        "objects_right": opinion.has_objects_of(spec),
        "colors_right": opinion.has_objects_of(spec) and opinion.has_colors_of(spec),
        "sees": "no proper scene" if seen is None else caption(seen),
        "agrees": _agrees(seen, spec, values["margin"]) if has_margin else None,
    }


def _agrees(seen: SceneSpec | None, spec: SceneSpec, margin: float) -> bool:
    """Whether both judges call the mesh what its caption does, or both call it something else."""
    return (seen is not None and is_same_shape(seen, spec)) == (margin > 0.0)


def _recorded(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
