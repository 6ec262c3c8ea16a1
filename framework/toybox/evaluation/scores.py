"""All scores of a generated mesh against the scene that its prompt names."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch

from framework.structures.mesh import Mesh
from framework.toybox.captions import caption
from framework.toybox.evaluation.color import ColorScore, color_score
from framework.toybox.evaluation.facing import Facing, facing
from framework.toybox.evaluation.mesh_surface import MeshSurface, has_surface
from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.evaluation.shape_score import shape_score
from framework.toybox.evaluation.surface_distance import SurfaceDistance, surface_distance
from framework.toybox.evaluation.topology import Topology, topology
from framework.toybox.scenes import Scene, SceneSpec

NUM_POINTS = 3000
"""Points of either surface: shares of them are known to within 0.01."""


@dataclass(frozen=True)
class MeshScores:
    """How well a mesh is what its caption names.

    Attributes:
        iou: Overlap of the solids, mesh and best-fitting scene of the caption (see `shape_score`).
        ellipsoid_iou: That of the best-fitting ellipsoid with the same scene.
        shape_score: The overlap beyond that of an ellipsoid; None for a sphere.
        margin: Overlap minus that with the best wrong scene; None if it was not searched.
        best_wrong: The caption of that scene, or None.
        surface: Distance of the surfaces.
        color: None without a mesh.
        facing: None for scenes without a front.
        topology: State of the mesh, whatever it shows.
    """

    iou: float
    ellipsoid_iou: float
    shape_score: float | None
    margin: float | None
    best_wrong: str | None
    surface: SurfaceDistance
    color: ColorScore | None
    facing: Facing | None
    topology: Topology

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON knows values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


@torch.no_grad()
def evaluate_mesh(mesh: Mesh, spec: SceneSpec, *, with_margin: bool = True) -> MeshScores:
    """All scores of a mesh; deterministic.

    Args:
        mesh: In world space, front to +x; without a surface it scores as little as there is to score.
        spec: What the caption names.
        with_margin: Also search the vocabulary for a better name, which takes longer than the rest.
    """
    shape = shape_score(mesh, spec, with_margin=with_margin)
    surface, color, direction = _surface_scores(mesh, shape.scene)
    return MeshScores(
        iou=shape.iou,
        ellipsoid_iou=shape.ellipsoid_iou,
        shape_score=shape.score,
        margin=shape.margin,
        best_wrong=None if shape.best_wrong is None else caption(shape.best_wrong),
        surface=surface,
        color=color,
        facing=direction,
        topology=topology(mesh),
    )


def _surface_scores(mesh: Mesh, scene: Scene) -> tuple[SurfaceDistance, ColorScore | None, Facing | None]:
    if not has_surface(mesh):
        return SurfaceDistance(), None, Facing() if scene.spec.has_front else None
    generator = torch.Generator().manual_seed(0)
    mesh_surface, named = MeshSurface(mesh), SceneSurface(scene, count=NUM_POINTS, generator=generator)
    distance = surface_distance(mesh_surface, named, generator=generator)
    return distance, color_score(mesh_surface, named), facing(mesh_surface, named)
