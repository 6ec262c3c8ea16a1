"""How far the surface of a mesh and that of a scene are apart.

All lengths are shares of the longest side of the scene's bounding box. From the mesh to the scene they are exact, from
points spread evenly over the mesh; from the scene to the mesh as well, from points spread evenly over the scene's
surface. Every surface of the mesh counts, so inner walls, which a solid scene does not have, lower the precision, as
they lower the overlap of the solids.

F-score: harmonic mean of precision, the share of the mesh within a threshold of the scene, and recall, the share of the
scene within it of the mesh (Knapitsch et al., "Tanks and Temples", 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from framework.toybox.evaluation.mesh_surface import MeshSurface
from framework.toybox.evaluation.scene_surface import SceneSurface

_NARROW, _WIDE = 0.01, 0.02


@dataclass(frozen=True)
class SurfaceDistance:
    """How far two surfaces are apart.

    Attributes:
        f_score_1: F-score at a threshold of 1 % of the longest side, in [0, 1].
        f_score_2: That at 2 %.
        chamfer: Mean of the mean distances from either surface to the other, a share of the longest side; None
            without a mesh.
    """

    f_score_1: float = 0.0
    f_score_2: float = 0.0
    chamfer: float | None = None


def surface_distance(mesh: MeshSurface, scene: SceneSurface, *, generator: torch.Generator) -> SurfaceDistance:
    """The distances between a mesh and a scene.

    Args:
        generator: On the CPU; draws as many points of the mesh as `scene` has.
    """
    to_scene = scene.distance(mesh.sample(len(scene.points), generator=generator)).abs() / scene.size
    to_mesh = mesh.distance(scene.points.positions) / scene.size
    chamfer = 0.5 * float(to_scene.mean() + to_mesh.mean())
    return SurfaceDistance(_f_score(to_scene, to_mesh, _NARROW), _f_score(to_scene, to_mesh, _WIDE), chamfer)


def _f_score(to_scene: Float[Tensor, "N"], to_mesh: Float[Tensor, "M"], threshold: float) -> float:
    precision, recall = (float((distances <= threshold).float().mean()) for distances in (to_scene, to_mesh))
    return 2.0 * precision * recall / (precision + recall) if precision + recall > 0.0 else 0.0
