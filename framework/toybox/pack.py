"""Scenes as tensors, and the two fields that define them: signed distance and albedo.

The distance is the smallest of the parts' exact distances: exact outside, a lower bound of the depth inside overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.structures.record import TensorRecord
from framework.toybox.parts import bounding_radius
from framework.toybox.primitives import NUM_PARAMETERS, Kind, local_distance
from framework.toybox.scenes import Scene

PADDING = -1
"""Kind of the entries that fill up scenes of fewer parts."""


@dataclass(frozen=True, eq=False)
class ScenePack(TensorRecord):
    """S scenes of up to P parts.

    Attributes:
        kinds: `primitives.Kind` of each part, or `PADDING`.
        parameters: Lengths and rounding of each part (see `primitives`).
        rotations: World from local axes.
        centers: Local origins, world space.
        albedo: sRGB values in [0, 1].
        radii: Radius of a ball about each centre that holds the part; 0 for padding.
    """

    kinds: Int[Tensor, "S P"]
    parameters: Float[Tensor, "S P 5"]
    rotations: Float[Tensor, "S P 3 3"]
    centers: Float[Tensor, "S P 3"]
    albedo: Float[Tensor, "S P 3"]
    radii: Float[Tensor, "S P"]

    @classmethod
    def from_scenes(cls, scenes: Sequence[Scene]) -> ScenePack:
        """The scenes in order, on the CPU."""
        count = max(len(scene.parts) for scene in scenes)
        kinds = np.full((len(scenes), count), PADDING, dtype=np.int32)
        parameters = np.zeros((len(scenes), count, NUM_PARAMETERS), dtype=np.float32)
        rotations = np.zeros((len(scenes), count, 3, 3), dtype=np.float32)
        centers, albedo = np.zeros((2, len(scenes), count, 3), dtype=np.float32)
        radii = np.zeros((len(scenes), count), dtype=np.float32)
        for row, scene in enumerate(scenes):
            for column, part in enumerate(scene.parts):
                at = row, column
                kinds[at], parameters[at], rotations[at] = part.kind, part.parameters, part.rotation
                centers[at], albedo[at], radii[at] = part.center, part.color, bounding_radius(part)
        return cls(*(torch.from_numpy(array) for array in (kinds, parameters, rotations, centers, albedo, radii)))


def part_distances(pack: ScenePack, points: Float[Tensor, "S M 3"]) -> Float[Tensor, "S P M"]:
    """Signed distance of the M points of each scene to each of its parts; infinite for padding."""
    distances = points.new_full((*pack.kinds.shape, points.shape[1]), torch.inf)
    for kind in Kind:
        scene, part = torch.nonzero(pack.kinds == kind, as_tuple=True)  # (K,) parts of this kind
        if len(scene):
            local = (points[scene] - pack.centers[scene, part][:, None]) @ pack.rotations[scene, part]
            distances[scene, part] = local_distance(kind, local, pack.parameters[scene, part])
    return distances


def signed_distance(pack: ScenePack, points: Float[Tensor, "S M 3"]) -> Float[Tensor, "S M"]:
    """Signed distance to each scene's surface, negative inside, world units."""
    return part_distances(pack, points).amin(dim=1)


def albedo(pack: ScenePack, points: Float[Tensor, "S M 3"]) -> Float[Tensor, "S M 3"]:
    """Albedo of the nearest part, sRGB values in [0, 1]."""
    nearest = part_distances(pack, points).argmin(dim=1)  # (S, M)
    return torch.gather(pack.albedo, 1, nearest[..., None].expand(-1, -1, 3))
