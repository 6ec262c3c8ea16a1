"""Rays against triangle meshes, the nearest points on them, and what lies inside. Nothing here is differentiable."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.ops.backends import AUTO, load
from framework.structures.rays import Rays
from framework.structures.record import TensorRecord


@dataclass(frozen=True, eq=False)
class RayHits(TensorRecord):
    """Where N rays first meet a mesh.

    Attributes:
        distance: Along the ray, world units; infinite where it misses.
        face: The triangle that was hit; -1 where the ray misses.
        barycentric: Shares of the triangle's three vertices in the point that was hit; zero where the ray misses.
    """

    distance: Float[Tensor, "N"]
    face: Int[Tensor, "N"]
    barycentric: Float[Tensor, "N 3"]


@dataclass(frozen=True, eq=False)
class NearestPoints(TensorRecord):
    """Where a mesh is nearest to N points.

    Attributes:
        distance: To the point, world units.
        face: The triangle on which it lies.
        barycentric: Shares of the triangle's three vertices in it.
    """

    distance: Float[Tensor, "N"]
    face: Int[Tensor, "N"]
    barycentric: Float[Tensor, "N 3"]


class RayCaster:
    """A triangle mesh that answers ray and point queries; both sides of a triangle count as hits.

    Args:
        vertices: World positions; copied, later changes are not seen.
        faces: Indices of three vertices, counter-clockwise seen from outside.

    Raises:
        ValueError: If the mesh has no face, or a face names a vertex that is not there.
    """

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], *, backend: str = AUTO) -> None:
        if len(faces) == 0:
            raise ValueError("RayCaster: the mesh has no faces.")
        if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
            raise ValueError(
                f"RayCaster: faces name vertices from {int(faces.min())} to {int(faces.max())}, "
                f"but the mesh has {len(vertices)}."
            )
        implementation = load("mesh-raycasting", vertices.device, backend)
        self._implementation = implementation.RayCaster(vertices.detach().float(), faces)

    def cast(self, rays: Rays) -> RayHits:
        """The first triangle that each ray meets at a positive distance."""
        return self._implementation.cast(rays)

    def inside(self, points: Float[Tensor, "P 3"]) -> Bool[Tensor, "P"]:
        """Whether points lie inside, by a generalised winding number above one half.

        The winding number bridges holes and bears overlapping parts, so a mesh need not be watertight.
        """
        return self._implementation.inside(points)

    def nearest(self, points: Float[Tensor, "P 3"]) -> NearestPoints:
        """The point of the mesh that is nearest to each of `points`; any of them where several are.

        A triangle without area may be passed over for its neighbours, which share its corners.
        """
        return self._implementation.nearest(points)
