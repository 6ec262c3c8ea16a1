"""Rendering of toybox scenes in Warp, for CPU and CUDA: one item a pixel.

A ray keeps a bit mask of the parts whose bounding balls it meets and walks by the distance to those alone (sphere
tracing). A first launch traces pixel centres; a second one shades, and where a pixel differs from a neighbour it traces
`SUB_PIXELS` rays instead and averages them.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from framework.ops.warp.launching import initialize, launch
from framework.structures.cameras import Cameras
from framework.toybox import tracing
from framework.toybox.pack import ScenePack
from framework.toybox.primitives_warp import Parameters, local_distance
from framework.toybox.tracing import MAX_PARTS, Lights, ToyImages

wp.set_module_options({"enable_backward": False})

_WORK_PER_PIXEL = 64

_HIT_DISTANCE = wp.constant(tracing.HIT_DISTANCE)
_MAX_STEPS = wp.constant(tracing.MAX_STEPS)
_NORMAL_STEP = wp.constant(tracing.NORMAL_STEP)
_SUB_PIXELS = wp.constant(tracing.SUB_PIXELS)
_LATTICE = wp.constant(tracing.LATTICE)
_EDGE_COSINE = wp.constant(tracing.EDGE_COSINE)
_EDGE_DEPTH = wp.constant(tracing.EDGE_DEPTH)


def render(pack: ScenePack, *, cameras: Cameras, lights: Lights, background: Float[Tensor, "S 3"]) -> ToyImages:
    """See `framework.toybox.rendering.render`.

    Raises:
        ValueError: If a scene has more than `MAX_PARTS` parts.
    """
    if pack.kinds.shape[1] > MAX_PARTS:
        raise ValueError(f"A toybox scene may have {MAX_PARTS} parts, got {pack.kinds.shape[1]}.")
    initialize()
    shape, device = (len(pack), cameras.height, cameras.width), pack.device
    solids, lens = _solids(pack), _lens(cameras)
    parts = torch.empty(shape, dtype=torch.int32, device=device)
    depths, normals = torch.empty(shape, device=device), torch.empty(*shape, 3, device=device)
    traced = [_array(parts, wp.int32), _array(depths, wp.float32), _array(normals, wp.vec3)]
    count, work = parts.numel(), _WORK_PER_PIXEL
    launch(_trace_centers, count, [solids, lens, *traced], device=device, work_per_item=work)

    images = ToyImages(
        rgb=torch.empty(*shape, 3, device=device),
        opacity=torch.empty(*shape, 1, device=device),
        depth=torch.empty(*shape, 1, device=device),
        normals=torch.empty(*shape, 3, device=device),
    )
    positions = lights.positions.contiguous()  # often a column of the cameras' transforms
    light = [_array(positions, wp.vec3), _array(lights.ambient, wp.float32), _array(background, wp.vec3)]
    outputs = [
        _array(images.rgb, wp.vec3),
        _array(images.opacity[..., 0], wp.float32),
        _array(images.depth[..., 0], wp.float32),
        _array(images.normals, wp.vec3),
    ]
    launch(_shade_pixels, count, [solids, lens, *light, *traced, *outputs], device=device, work_per_item=work)
    return images


def _array(tensor: Tensor, dtype: type) -> Any:
    return wp.from_torch(tensor, dtype=dtype, requires_grad=False)


@no_type_check
@wp.struct
class Solids:
    """The tensors of a `ScenePack`."""

    kinds: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    parameters: wp.array2d(dtype=Parameters)  # type: ignore[valid-type]
    rotations: wp.array2d(dtype=wp.mat33)  # type: ignore[valid-type]
    centers: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    albedo: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    radii: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]


def _solids(pack: ScenePack) -> Any:
    solids: Any = Solids()
    solids.kinds = _array(pack.kinds.contiguous(), wp.int32)
    solids.parameters = _array(pack.parameters.contiguous(), Parameters)
    solids.rotations = _array(pack.rotations.contiguous(), wp.mat33)
    solids.centers = _array(pack.centers.contiguous(), wp.vec3)
    solids.albedo = _array(pack.albedo.contiguous(), wp.vec3)
    solids.radii = _array(pack.radii.contiguous(), wp.float32)
    return solids


@no_type_check
@wp.struct
class Lens:
    """Pinhole cameras that share an image size."""

    camera_to_world: wp.array(dtype=wp.mat44)  # type: ignore[valid-type]
    fov_y: wp.array(dtype=wp.float32)  # type: ignore[valid-type]
    height: wp.int32
    width: wp.int32


def _lens(cameras: Cameras) -> Any:
    lens: Any = Lens()
    lens.camera_to_world = _array(cameras.camera_to_world.contiguous(), wp.mat44)
    lens.fov_y = _array(cameras.fov_y.contiguous(), wp.float32)
    lens.height, lens.width = cameras.height, cameras.width
    return lens


@no_type_check
@wp.struct
class Ray:
    """A point and a unit vector."""

    origin: wp.vec3
    direction: wp.vec3


@no_type_check
@wp.struct
class Hit:
    """Where a ray ended; part is -1 if it met nothing."""

    part: wp.int32
    depth: wp.float32
    normal: wp.vec3


@no_type_check
@wp.func
def _camera_ray(lens: Lens, scene: wp.int32, x: wp.float32, y: wp.float32):
    """Ray through the image point (x, y), pixels from the upper left corner."""
    focal = 0.5 * float(lens.height) / wp.tan(0.5 * lens.fov_y[scene])
    local = wp.vec3((x - 0.5 * float(lens.width)) / focal, (0.5 * float(lens.height) - y) / focal, -1.0)
    ray = Ray()
    matrix = lens.camera_to_world[scene]
    ray.direction = wp.normalize(wp.transform_vector(matrix, local))
    ray.origin = wp.vec3(matrix[0, 3], matrix[1, 3], matrix[2, 3])
    return ray


@no_type_check
@wp.func
def _part_distance(solids: Solids, scene: wp.int32, part: wp.int32, point: wp.vec3):
    local = (point - solids.centers[scene, part]) * solids.rotations[scene, part]  # a row vector: into local axes
    return local_distance(solids.kinds[scene, part], local, solids.parameters[scene, part])


@no_type_check
@wp.func
def _part_normal(solids: Solids, scene: wp.int32, part: wp.int32, p: wp.vec3):
    """Unit normal from distances at the corners of a tetrahedron."""
    h = _NORMAL_STEP
    a = _part_distance(solids, scene, part, p + wp.vec3(h, -h, -h))
    b = _part_distance(solids, scene, part, p + wp.vec3(-h, -h, h))
    c = _part_distance(solids, scene, part, p + wp.vec3(-h, h, -h))
    d = _part_distance(solids, scene, part, p + wp.vec3(h, h, h))
    return wp.normalize(wp.vec3(a - b - c + d, c + d - a - b, b + d - a - c))


@no_type_check
@wp.func
def _trace(solids: Solids, scene: wp.int32, ray: Ray):
    count = solids.kinds.shape[1]
    mask = wp.int32(0)
    near = float(1.0e9)
    far = float(0.0)
    for part in range(count):
        radius = solids.radii[scene, part]
        to_center = solids.centers[scene, part] - ray.origin
        along = wp.dot(to_center, ray.direction)
        squared = radius * radius - (wp.dot(to_center, to_center) - along * along)
        if squared > 0.0:
            mask = mask | (1 << part)
            near = wp.min(near, along - wp.sqrt(squared))
            far = wp.max(far, along + wp.sqrt(squared))
    hit = Hit()
    hit.part = -1
    depth = wp.max(near, 0.0)
    for _step in range(_MAX_STEPS):
        if depth > far or hit.part >= 0:
            break
        point = ray.origin + depth * ray.direction
        nearest = float(1.0e9)
        nearest_part = wp.int32(-1)
        for part in range(count):
            if (mask & (1 << part)) != 0:
                ball = wp.length(point - solids.centers[scene, part]) - solids.radii[scene, part]
                if ball < nearest:  # else the part, which lies in its ball, is too far
                    distance = _part_distance(solids, scene, part, point)
                    if distance < nearest:
                        nearest = distance
                        nearest_part = part
        if nearest < _HIT_DISTANCE:
            hit.part = nearest_part
            hit.depth = depth
            hit.normal = _part_normal(solids, scene, nearest_part, point)
        depth += nearest
    return hit


@no_type_check
@wp.kernel
def _trace_centers(
    first: wp.int32,
    solids: Solids,
    lens: Lens,
    parts: wp.array3d(dtype=wp.int32),
    depths: wp.array3d(dtype=wp.float32),
    normals: wp.array3d(dtype=wp.vec3),
):
    pixel = first + wp.tid()
    column = pixel % lens.width
    row = (pixel // lens.width) % lens.height
    scene = pixel // (lens.width * lens.height)
    hit = _trace(solids, scene, _camera_ray(lens, scene, float(column) + 0.5, float(row) + 0.5))
    parts[scene, row, column] = hit.part
    depths[scene, row, column] = hit.depth
    normals[scene, row, column] = hit.normal


@no_type_check
@wp.func
def _differ(a: Hit, b: Hit):
    """Whether two pixels show different surfaces."""
    if a.part != b.part:
        return True
    if a.part < 0:
        return False
    return wp.dot(a.normal, b.normal) < _EDGE_COSINE or wp.abs(a.depth - b.depth) > _EDGE_DEPTH


@no_type_check
@wp.func
def _shaded(albedo: wp.vec3, normal: wp.vec3, point: wp.vec3, light: wp.vec3, ambient: wp.float32):
    cosine = wp.max(wp.dot(normal, wp.normalize(light - point)), 0.0)
    return albedo * (ambient + (1.0 - ambient) * cosine)


@no_type_check
@wp.kernel
def _shade_pixels(
    first: wp.int32,
    solids: Solids,
    lens: Lens,
    lights: wp.array(dtype=wp.vec3),
    ambient: wp.array(dtype=wp.float32),
    background: wp.array(dtype=wp.vec3),
    parts: wp.array3d(dtype=wp.int32),
    center_depths: wp.array3d(dtype=wp.float32),
    center_normals: wp.array3d(dtype=wp.vec3),
    rgb: wp.array3d(dtype=wp.vec3),
    opacity: wp.array3d(dtype=wp.float32),
    depths: wp.array3d(dtype=wp.float32),
    normals: wp.array3d(dtype=wp.vec3),
):
    pixel = first + wp.tid()
    column = pixel % lens.width
    row = (pixel // lens.width) % lens.height
    scene = pixel // (lens.width * lens.height)
    center = Hit(parts[scene, row, column], center_depths[scene, row, column], center_normals[scene, row, column])
    samples = wp.int32(1)
    for side in range(4):
        r = row + (side & 1) * (2 - side)  # one row below or above where the side is odd
        c = column + (1 - (side & 1)) * (1 - side)  # one column right or left where it is even
        if r >= 0 and r < lens.height and c >= 0 and c < lens.width:  # noqa: SIM102, `and` would still read outside
            if _differ(center, Hit(parts[scene, r, c], center_depths[scene, r, c], center_normals[scene, r, c])):
                samples = _SUB_PIXELS

    color = wp.vec3(0.0, 0.0, 0.0)
    normal = wp.vec3(0.0, 0.0, 0.0)
    depth = float(0.0)
    hits = float(0.0)
    for sample in range(samples):
        x = float(column) + 0.5
        y = float(row) + 0.5
        if samples > 1:
            x = float(column) + (float(sample) + 0.5) / float(_SUB_PIXELS)
            y = float(row) + (float((_LATTICE * sample) % _SUB_PIXELS) + 0.5) / float(_SUB_PIXELS)
        ray = _camera_ray(lens, scene, x, y)
        hit = center
        if samples > 1:
            hit = _trace(solids, scene, ray)
        if hit.part >= 0:
            point = ray.origin + hit.depth * ray.direction
            color += _shaded(solids.albedo[scene, hit.part], hit.normal, point, lights[scene], ambient[scene])
            normal += hit.normal
            depth += hit.depth
            hits += 1.0
    covered = hits / float(samples)
    rgb[scene, row, column] = color / float(samples) + (1.0 - covered) * background[scene]
    opacity[scene, row, column] = covered
    depths[scene, row, column] = depth / wp.max(hits, 1.0)
    normals[scene, row, column] = wp.normalize(normal)
