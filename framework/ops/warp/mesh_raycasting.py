"""Mesh queries in Warp, through a hierarchy of bounding boxes that is built once."""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.ops.mesh_raycasting import NearestPoints, RayHits
from framework.ops.warp.launching import array, initialize, launch, torch_stream
from framework.structures.rays import Rays

wp.set_module_options({"enable_backward": False})

_STEPS_DOWN_THE_TREE = 32
_FARTHEST = wp.constant(1e18)


class RayCaster:
    """See `framework.ops.mesh_raycasting.RayCaster`."""

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> None:
        initialize()
        # Warp keeps these arrays without owning them.
        self._vertices = vertices.clone(memory_format=torch.contiguous_format)
        self._indices = faces.to(vertices.device, torch.int32).flatten().contiguous()
        points: Any = wp.from_torch(self._vertices, dtype=wp.vec3)
        indices: Any = wp.from_torch(self._indices)
        stream = torch_stream(vertices.device) if vertices.is_cuda else None
        with wp.ScopedStream(stream):
            self._mesh = wp.Mesh(points=points, indices=indices, support_winding_number=True)

    def cast(self, rays: Rays) -> RayHits:
        """The first triangle that each ray meets at a positive distance."""
        origins, directions = rays.origins.detach().float().contiguous(), rays.directions.detach().float().contiguous()
        distance = origins.new_empty(len(rays))
        face = torch.empty(len(rays), dtype=torch.int64, device=rays.device)
        barycentric = torch.empty_like(origins)
        arguments = [self._mesh.id, array(origins, wp.vec3), array(directions, wp.vec3), distance, face]
        arguments += [array(barycentric, wp.vec3)]
        launch(_cast, len(rays), arguments, device=rays.device, work_per_item=_STEPS_DOWN_THE_TREE)
        return RayHits(distance, face, barycentric)

    def inside(self, points: Float[Tensor, "P 3"]) -> Bool[Tensor, "P"]:
        """Whether points lie inside, by their winding number; far groups of triangles are approximated."""
        points = points.detach().float().contiguous()
        is_inside = torch.empty(len(points), dtype=torch.bool, device=points.device)
        arguments = [self._mesh.id, array(points, wp.vec3), is_inside]
        launch(_inside, len(points), arguments, device=points.device, work_per_item=_STEPS_DOWN_THE_TREE)
        return is_inside

    def nearest(self, points: Float[Tensor, "P 3"]) -> NearestPoints:
        """The point of the mesh that is nearest to each of `points`."""
        points = points.detach().float().contiguous()
        distance = points.new_empty(len(points))
        face = torch.empty(len(points), dtype=torch.int64, device=points.device)
        barycentric = torch.empty_like(points)
        arguments = [self._mesh.id, array(points, wp.vec3), distance, face, array(barycentric, wp.vec3)]
        launch(_nearest, len(points), arguments, device=points.device, work_per_item=_STEPS_DOWN_THE_TREE)
        return NearestPoints(distance, face, barycentric)


@no_type_check
@wp.kernel
def _cast(
    first: wp.int32,
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    distance: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int64),
    barycentric: wp.array(dtype=wp.vec3),
):
    ray = first + wp.tid()
    hit = wp.mesh_query_ray(mesh, origins[ray], directions[ray], _FARTHEST)
    if hit.result:
        distance[ray] = hit.t
        face[ray] = wp.int64(hit.face)
        barycentric[ray] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)
    else:
        distance[ray] = wp.inf
        face[ray] = wp.int64(-1)
        barycentric[ray] = wp.vec3(0.0, 0.0, 0.0)


@no_type_check
@wp.kernel
def _inside(first: wp.int32, mesh: wp.uint64, points: wp.array(dtype=wp.vec3), is_inside: wp.array(dtype=wp.bool)):
    point = first + wp.tid()
    closest = wp.mesh_query_point_sign_winding_number(mesh, points[point], _FARTHEST)
    is_inside[point] = closest.result and closest.sign < 0.0


@no_type_check
@wp.kernel
def _nearest(
    first: wp.int32,
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    distance: wp.array(dtype=wp.float32),
    face: wp.array(dtype=wp.int64),
    barycentric: wp.array(dtype=wp.vec3),
):
    point = first + wp.tid()
    closest = wp.mesh_query_point_no_sign(mesh, points[point], _FARTHEST)
    position = wp.mesh_eval_position(mesh, closest.face, closest.u, closest.v)
    distance[point] = wp.length(position - points[point])
    face[point] = wp.int64(closest.face)
    barycentric[point] = wp.vec3(closest.u, closest.v, 1.0 - closest.u - closest.v)
