"""Rendering of toybox scenes in torch, on any device: what `tracing_warp` does, for all rays at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from framework.structures.cameras import Cameras
from framework.structures.record import TensorRecord
from framework.toybox.pack import ScenePack, part_distances
from framework.toybox.tracing import (
    EDGE_COSINE,
    EDGE_DEPTH,
    HIT_DISTANCE,
    MAX_STEPS,
    NORMAL_STEP,
    SUB_PIXELS,
    Lights,
    ToyImages,
    sub_pixel_offset,
)

_STEPS_PER_ROUND = 8
"""Steps after which the rays that have ended are dropped."""
_TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True, eq=False)
class _Hits(TensorRecord):
    """Where rays ended: the part (-1 if they met nothing), the distance and the unit normal there."""

    parts: Int[Tensor, "S *M"]
    depths: Float[Tensor, "S *M"]
    normals: Float[Tensor, "S *M 3"]


@dataclass(frozen=True, eq=False)
class _Samples(TensorRecord):
    """What single rays see: colour before the background, whether they hit, distance and normal (0 where not)."""

    color: Float[Tensor, "S M 3"]
    covered: Float[Tensor, "S M 1"]
    depth: Float[Tensor, "S M 1"]
    normal: Float[Tensor, "S M 3"]


@torch.no_grad()
def render(pack: ScenePack, *, cameras: Cameras, lights: Lights, background: Float[Tensor, "S 3"]) -> ToyImages:
    """See `framework.toybox.rendering.render`."""
    pixels = torch.arange(cameras.height * cameras.width, device=pack.device).expand(len(pack), -1)
    directions = _directions(cameras, pixels, 0.0, 0.0)
    centers = _trace(pack, cameras.positions, directions)
    samples = _seen(pack, cameras.positions, directions, centers, lights)

    is_edge = _edges(centers, cameras.height, cameras.width)
    edge = _first(is_edge)  # (S, E)
    offsets = [sub_pixel_offset(index) for index in range(SUB_PIXELS)]
    sub_directions = torch.cat([_directions(cameras, edge, x, y) for x, y in offsets], dim=1)  # (S, SUB_PIXELS * E, 3)
    sub_hits = _trace(pack, cameras.positions, sub_directions)
    means = _seen(pack, cameras.positions, sub_directions, sub_hits, lights).map(_mean_of_sub_pixels)
    values = {}
    for name in ("color", "covered", "depth", "normal"):
        whole, mean = getattr(samples, name), getattr(means, name)
        index = edge[..., None].expand_as(mean)
        values[name] = torch.where(is_edge[..., None], whole.scatter(1, index, mean), whole)
    return _images(_Samples(**values), background, cameras)


def _mean_of_sub_pixels(values: Tensor) -> Tensor:
    return values.unflatten(1, (SUB_PIXELS, -1)).mean(dim=1)


def _images(samples: _Samples, background: Float[Tensor, "S 3"], cameras: Cameras) -> ToyImages:
    shape = (cameras.height, cameras.width)
    rgb = samples.color + (1 - samples.covered) * background[:, None]
    depth = samples.depth / samples.covered.clamp(min=0.5 / SUB_PIXELS)
    normal = F.normalize(samples.normal, dim=-1)
    return ToyImages(*(value.unflatten(1, shape) for value in (rgb, samples.covered, depth, normal)))


def _directions(cameras: Cameras, pixels: Int[Tensor, "S M"], dx: float, dy: float) -> Float[Tensor, "S M 3"]:
    """Unit vectors through the points (dx, dy) beside the centres of pixels that are given by their index."""
    x = pixels % cameras.width + (0.5 + dx - 0.5 * cameras.width)
    y = 0.5 * cameras.height - 0.5 - dy - torch.div(pixels, cameras.width, rounding_mode="floor")
    focal = 0.5 * cameras.height / torch.tan(0.5 * cameras.fov_y)[:, None]
    local = torch.stack([x / focal, y / focal, torch.full_like(x / focal, -1.0)], dim=-1)
    return F.normalize(local @ cameras.camera_to_world[:, :3, :3].transpose(1, 2), dim=-1)


def _trace(pack: ScenePack, origins: Float[Tensor, "S 3"], directions: Float[Tensor, "S M 3"]) -> _Hits:
    """Sphere tracing, in rounds that keep only the rays still on their way."""
    depths, far = _bounds(pack, origins, directions)
    parts = torch.full_like(depths, -1, dtype=torch.long)
    for _ in range(MAX_STEPS // _STEPS_PER_ROUND):
        index = _first((parts < 0) & (depths <= far))  # (S, K), the rest of a row repeats rays that have ended
        if index.shape[1] == 0:
            break
        gathered = (value.gather(1, index) for value in (depths, far, parts))
        chosen = directions.gather(1, index[..., None].expand(-1, -1, 3))
        new_depths, new_parts = _march(pack, origins, chosen, *gathered)
        depths, parts = depths.scatter(1, index, new_depths), parts.scatter(1, index, new_parts)
    return _Hits(parts, depths, _normals(pack, origins[:, None] + depths[..., None] * directions, parts))


def _bounds(
    pack: ScenePack, origins: Float[Tensor, "S 3"], directions: Float[Tensor, "S M 3"]
) -> tuple[Float[Tensor, "S M"], Float[Tensor, "S M"]]:
    """Distances at which rays first enter and last leave a bounding ball; far < near where they meet none."""
    to_center = pack.centers - origins[:, None]  # (S, P, 3)
    along = torch.einsum("spc,smc->spm", to_center, directions)
    squared = (pack.radii**2 - (to_center**2).sum(dim=-1))[..., None] + along**2
    half, meets = squared.clamp(min=0).sqrt(), squared > 0
    near = torch.where(meets, along - half, torch.inf).amin(dim=1).clamp(min=0)
    far = torch.where(meets, along + half, -1.0).amax(dim=1)
    return near.nan_to_num(posinf=0.0), far


def _march(
    pack: ScenePack,
    origins: Float[Tensor, "S 3"],
    directions: Float[Tensor, "S K 3"],
    depths: Float[Tensor, "S K"],
    far: Float[Tensor, "S K"],
    parts: Int[Tensor, "S K"],
) -> tuple[Float[Tensor, "S K"], Int[Tensor, "S K"]]:
    """Depths and parts after `_STEPS_PER_ROUND` steps; rays that have ended stay where they are."""
    for _ in range(_STEPS_PER_ROUND):
        points = origins[:, None] + depths[..., None] * directions
        nearest, part = part_distances(pack, points).min(dim=1)
        is_active = (parts < 0) & (depths <= far)
        is_hit = is_active & (nearest < HIT_DISTANCE)
        parts = torch.where(is_hit, part, parts)
        depths = torch.where(is_active & ~is_hit, depths + nearest, depths)
    return depths, parts


def _normals(pack: ScenePack, points: Float[Tensor, "S M 3"], parts: Int[Tensor, "S M"]) -> Float[Tensor, "S M 3"]:
    """Unit normals of the parts that were hit, from distances at the corners of a tetrahedron; 0 elsewhere."""
    index = _first(parts >= 0)  # (S, K)
    chosen, part = points.gather(1, index[..., None].expand(-1, -1, 3)), parts.gather(1, index).clamp(min=0)
    corners = points.new_tensor(_TETRAHEDRON)
    gradient = torch.zeros_like(chosen)
    for corner in corners:
        distance = part_distances(pack, chosen + NORMAL_STEP * corner).gather(1, part[:, None])[:, 0]
        gradient = gradient + corner * distance[..., None]
    normals = torch.zeros_like(points).scatter(1, index[..., None].expand_as(chosen), F.normalize(gradient, dim=-1))
    return torch.where(parts[..., None] >= 0, normals, 0.0)


def _first(chosen: Bool[Tensor, "S M"]) -> Int[Tensor, "S K"]:
    """Indices of the chosen items of each row, filled up with others to the length of the longest row."""
    longest = int(chosen.sum(dim=1).max())
    return chosen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :longest]


def _edges(hits: _Hits, height: int, width: int) -> Bool[Tensor, "S M"]:
    """Pixels that show another surface than one of their four neighbours."""
    grid = hits.map(lambda value: value.unflatten(1, (height, width)))
    is_edge = torch.zeros_like(grid.parts, dtype=torch.bool)
    for dim in (1, 2):
        size = grid.parts.shape[dim] - 1
        first, second = _narrowed(grid, dim, 0, size), _narrowed(grid, dim, 1, size)
        differ = (first.normals * second.normals).sum(dim=-1) < EDGE_COSINE
        differ |= (first.depths - second.depths).abs() > EDGE_DEPTH
        differ = (first.parts != second.parts) | ((first.parts >= 0) & differ)
        is_edge.narrow(dim, 0, size).logical_or_(differ)
        is_edge.narrow(dim, 1, size).logical_or_(differ)
    return is_edge.flatten(1)


def _narrowed(hits: _Hits, dim: int, start: int, size: int) -> _Hits:
    return hits.map(lambda value: value.narrow(dim, start, size))


def _seen(
    pack: ScenePack,
    origins: Float[Tensor, "S 3"],
    directions: Float[Tensor, "S M 3"],
    hits: _Hits,
    lights: Lights,
) -> _Samples:
    points = origins[:, None] + hits.depths[..., None] * directions
    cosine = (hits.normals * F.normalize(lights.positions[:, None] - points, dim=-1)).sum(dim=-1, keepdim=True)
    ambient = lights.ambient[:, None, None]
    albedo = pack.albedo.gather(1, hits.parts.clamp(min=0)[..., None].expand(-1, -1, 3))
    covered = (hits.parts >= 0)[..., None].float()
    color = covered * albedo * (ambient + (1 - ambient) * cosine.clamp(min=0))
    return _Samples(color, covered, covered * hits.depths[..., None], hits.normals)
