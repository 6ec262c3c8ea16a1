"""How much a mesh is the thing that its caption names, judged by shape alone and without a network.

The mesh, as cells, is compared with the scene of its caption that fits it best. The overlap alone flatters blobs: an
ellipsoid, which knows the place and size of a thing only, reaches 0.6 to 0.8 with most of them. So the shape score is

    (IoU - e) / (1 - e),   e = IoU of that scene with the ellipsoid that fits it best:

1 for the scene itself, 0 for a blob, negative for what is worse. The identity margin is the IoU with the named scene
minus that with the best scene of another name. Colours do not matter, and nothing is mirrored, shifted or rescaled.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from framework.structures.mesh import Mesh
from framework.toybox.evaluation.ellipsoid import best_ellipsoid
from framework.toybox.evaluation.fitting import fit_scene
from framework.toybox.evaluation.identity import best_wrong
from framework.toybox.evaluation.voxels import intersection_over_union, scene_cells, voxelize
from framework.toybox.scenes import Scene, SceneSpec

_IS_ELLIPSOID = 0.95
"""A scene that overlaps this much with an ellipsoid is one."""


@dataclass(frozen=True)
class ShapeScore:
    """How well a solid fits a caption.

    Attributes:
        iou: Intersection over union with the best-fitting scene of the caption.
        ellipsoid_iou: That of the best-fitting ellipsoid with the same scene.
        scene: The best-fitting scene.
        best_wrong: The best-fitting scene of another name; None if it was not searched.
        wrong_iou: The intersection over union with that one.
    """

    iou: float
    ellipsoid_iou: float
    scene: Scene
    best_wrong: SceneSpec | None = None
    wrong_iou: float | None = None

    @property
    def score(self) -> float | None:
        """The overlap beyond that of an ellipsoid; None for a sphere, for which an ellipsoid is the right answer."""
        if self.ellipsoid_iou > _IS_ELLIPSOID:
            return None
        return (self.iou - self.ellipsoid_iou) / (1.0 - self.ellipsoid_iou)

    @property
    def margin(self) -> float | None:
        """Overlap with the named scene minus that with the best wrong one; negative for another thing."""
        return None if self.wrong_iou is None else self.iou - self.wrong_iou


def shape_score(mesh: Mesh, spec: SceneSpec, *, with_margin: bool = True) -> ShapeScore:
    """The score of a mesh against the scenes of a caption; deterministic.

    Args:
        mesh: In world space; what lies outside the cube [-1, 1]^3 is not seen. Without faces it scores an IoU of 0.
        spec: What the caption names; colours and view words are ignored.
        with_margin: Also search the vocabulary for a better name, which takes longer than the rest.
    """
    return cells_score(voxelize(mesh), spec, with_margin=with_margin)


def cells_score(cells: Bool[Tensor, "R R R"], spec: SceneSpec, *, with_margin: bool = True) -> ShapeScore:
    """See `shape_score`; for a solid given by the cells that it occupies."""
    scene, iou = fit_scene(cells, spec)
    named = scene_cells(scene, resolution=len(cells))
    ellipsoid_iou = intersection_over_union(best_ellipsoid(named).cells(len(cells)), named)
    wrong, wrong_iou = best_wrong(cells, spec) if with_margin else (None, None)
    return ShapeScore(iou, ellipsoid_iou, scene, wrong, wrong_iou)
