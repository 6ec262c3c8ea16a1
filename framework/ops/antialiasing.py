"""Antialiasing of silhouettes, through which a mesh's outline is differentiable (after nvdiffrast, arXiv:2011.03277).

Rasterization decides at pixel centres. Wherever it finds a near pixel A beside a farther or empty one B, an outline of the
mesh runs through the gap between their centres. Let it cross the gap at distance r from B's centre, in pixels:
    r < 1/2: the outline lies within B's square, of which A's colour covers the share 1/2 - r;
    r > 1/2: it lies within A's square, of which B's colour shows in the share r - 1/2.
For an upright edge these shares are the areas, and their derivative in r is that of the covered area.

Outlines are looked for among the edges of the mesh, not among those of the triangle that A sees: near the outline of a
fine mesh, triangles are so oblique that a pixel's own triangle seldom reaches it. An edge belongs to an outline where all
its triangles lie on one side of it in the image. Of the edges that cross a gap with their triangles on A's side, those in
front of what B sees count, and of these the one nearest to B, since B's surface is in sight up to there. Edges steeper
than 45 degrees are crossed by the gaps of rows, the others by those of columns, so that each stretch of outline counts
once. The rows are blended before the columns; either way a pixel gives away at most its left and its right half, so that
colours stay within the range of the image, and the corner of a square gets the product of both shares.

Only the few pixels along outlines are touched, so that plain torch is fast enough here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from framework.ops.pixel_coordinates import project
from framework.ops.rasterization import Fragments
from framework.structures.cameras import Cameras

_CLIPPED = 1e-3
"""An edge that reaches behind the camera is followed to this share of its far end's depth."""
_ON_CENTER = 1e-3
"""As near to a pixel's centre, in pixels, rounding may have put the pixel on either side of an edge: both gaps are tried."""
_ROWS, _COLUMNS = 0, 1
"""The axis along which pixels are neighbours: u within a row, v within a column."""


def antialias(
    image: Float[Tensor, "B H W C"],
    fragments: Fragments,
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    cameras: Cameras,
) -> Float[Tensor, "B H W C"]:
    """The image with pixels along outlines blended with their neighbours by coverage.

    Differentiable in the image, and in the vertices through where their outlines run. Vertices that coincide without
    being one, as along the seams of a texture, make an outline there: join them first.

    Args:
        image: Values at pixel centres, background included, of any number of channels.
        fragments: What `rasterize` finds for the same vertices, faces and cameras.

    Raises:
        ValueError: If the image and the fragments differ in size.
    """
    if image.shape[:3] != fragments.face.shape:
        sizes = f"{tuple(image.shape[:3])} and {tuple(fragments.face.shape)}"
        raise ValueError(f"antialias: image and fragments differ in (B, H, W): {sizes}.")
    outlines = _outlines(vertices, faces, cameras)
    distance = torch.where(fragments.is_covered, fragments.depth.detach(), torch.inf).flatten()
    pixels = image.reshape(-1, image.shape[3])
    for axis in (_ROWS, _COLUMNS):
        crossings = _crossings(outlines, cameras, axis)
        pixels = _blend(pixels, _gaps(outlines, crossings, distance, cameras, axis))
    return pixels.view(image.shape)


@dataclass(frozen=True)
class _Outlines:
    """Edges E of the mesh that belong to an outline in one of the views.

    Attributes:
        view: In which.
        start, end: Their ends in homogeneous pixel coordinates.
        start_position, end_position: The ends relative to the camera, world units.
        side: Sign of (start x end) . P for points P of their triangles.
    """

    view: Int[Tensor, "E"]
    start: Float[Tensor, "E 3"]
    end: Float[Tensor, "E 3"]
    start_position: Float[Tensor, "E 3"]
    end_position: Float[Tensor, "E 3"]
    side: Float[Tensor, "E"]


@dataclass(frozen=True)
class _Crossings:
    """Where outlines cross the gaps between neighbours along one axis, seen or hidden.

    Attributes:
        edge: Which of the outlines' edges.
        share: Of the edge's end in the point that crosses.
        first: The pixel before the gap, counted through all views.
        from_first: Distance from its centre to the crossing, pixels, in [0, 1]; differentiable.
    """

    edge: Int[Tensor, "N"]
    share: Float[Tensor, "N"]
    first: Int[Tensor, "N"]
    from_first: Float[Tensor, "N"]


@dataclass(frozen=True)
class _Gaps:
    """Pairs of neighbours with an outline between them, each pair once.

    Attributes:
        near, far: Pixels A and B of each pair, counted through all views.
        from_far: How far from B's centre the outline crosses, pixels; differentiable.
    """

    near: Int[Tensor, "K"]
    far: Int[Tensor, "K"]
    from_far: Float[Tensor, "K"]


def _outlines(vertices: Tensor, faces: Tensor, cameras: Cameras) -> _Outlines:
    screen = project(vertices, cameras)
    low, high, edge, is_reversed = _edges(faces, len(vertices))
    with torch.no_grad():
        side = _facing(screen, faces).repeat_interleave(3, dim=1)  # (B, 3 F): of the triangle of each of its sides
        side = torch.where(is_reversed, -side, side)
        total = side.new_zeros(len(screen), len(low)).index_add_(1, edge, side)
        view, chosen = (total.abs() == torch.bincount(edge)).nonzero(as_tuple=True)
    start, end = low[chosen], high[chosen]
    flat = screen.reshape(-1, 3)
    return _Outlines(
        view=view,
        start=flat.index_select(0, view * len(vertices) + start),
        end=flat.index_select(0, view * len(vertices) + end),
        start_position=vertices.detach()[start] - cameras.positions[view],
        end_position=vertices.detach()[end] - cameras.positions[view],
        side=total[view, chosen].sign(),
    )


def _edges(faces: Tensor, num_vertices: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two ends (E,) of all edges; for each side (3 F,) of the triangles its edge, and if it runs from high to low."""
    starts, ends = faces.long().flatten(), faces.long().roll(-1, dims=1).flatten()
    key = torch.minimum(starts, ends) * num_vertices + torch.maximum(starts, ends)
    ordered, order = key.sort()
    distinct, place = torch.unique_consecutive(ordered, return_inverse=True)
    edge = torch.empty_like(order).index_copy_(0, order, place)
    return distinct // num_vertices, distinct % num_vertices, edge, starts > ends


def _facing(screen: Tensor, faces: Tensor) -> Tensor:
    """Sign of P_0 . (P_1 x P_2) of each triangle in each view, (B, F): that of its turn seen from the camera."""
    corners = screen.index_select(1, faces.long().flatten()).unflatten(1, (-1, 3))
    first, second, third = corners.unbind(dim=2)
    return (torch.linalg.cross(second - first, third - first) * first).sum(dim=-1).sign()


def _crossings(outlines: _Outlines, cameras: Cameras, axis: int) -> _Crossings:
    size, num_lines = cameras.width, cameras.height
    if axis == _COLUMNS:
        size, num_lines = num_lines, size
    edge, line = _crossed_lines(outlines, num_lines, axis)
    share, place = _crossing(outlines.start.index_select(0, edge), outlines.end.index_select(0, edge), line, axis)
    offset = place.detach() - 0.5
    before, center = offset.floor(), offset.round()
    (tied,) = ((offset - center).abs() < _ON_CENTER).nonzero(as_tuple=True)
    crossing = torch.cat([torch.arange(len(offset), device=offset.device), tied])
    before = torch.cat([before, 2.0 * center[tied] - 1.0 - before[tied]])  # the gap on the other side of the centre
    (kept,) = ((before >= 0) & (before + 1 < size)).nonzero(as_tuple=True)
    crossing, before = crossing[kept], before[kept]
    edge, line = edge[crossing], line[crossing]
    row, column = (before.long(), line) if axis == _COLUMNS else (line, before.long())
    return _Crossings(
        edge=edge,
        share=share.detach()[crossing],
        first=(outlines.view[edge] * cameras.height + row) * cameras.width + column,
        from_first=(place.index_select(0, crossing) - 0.5 - before).clamp(0.0, 1.0),
    )


def _gaps(outlines: _Outlines, crossings: _Crossings, distance: Tensor, cameras: Cameras, axis: int) -> _Gaps:
    """Of the crossings, those at which pixels at `distance` (B H W,), infinite where empty, turn from A's to B's."""
    edge, first = crossings.edge, crossings.first
    second = first + (cameras.width if axis == _COLUMNS else 1)
    is_second_near = distance[second] < distance[first]
    near, far = torch.where(is_second_near, second, first), torch.where(is_second_near, first, second)
    normal = _line(outlines.start.detach()[edge], outlines.end.detach()[edge])[:, axis]
    is_second_inside = normal * outlines.side[edge] > 0.0
    position = torch.lerp(outlines.start_position[edge], outlines.end_position[edge], crossings.share[:, None])
    is_outline = (is_second_inside == is_second_near) & (distance[near] < distance[far])
    is_outline &= position.norm(dim=1) < distance[far]
    from_far = torch.where(is_second_near, crossings.from_first, 1.0 - crossings.from_first)
    chosen = _least_of_each(first, from_far.detach(), is_outline)
    return _Gaps(near[chosen], far[chosen], from_far.index_select(0, chosen))


def _crossed_lines(outlines: _Outlines, num_lines: int, axis: int) -> tuple[Tensor, Tensor]:
    """Each edge that runs rather across `axis` than along it, with each line of pixel centres along `axis` it crosses."""
    across = 1 - axis
    with torch.no_grad():
        start, end = outlines.start, outlines.end
        normal = _line(start, end).abs()
        is_steep = normal[:, 0] >= normal[:, 1]
        is_across = is_steep if axis == _ROWS else ~is_steep
        depths = torch.stack([start[:, 2], end[:, 2]], dim=1)
        farthest = depths.amax(dim=1)
        nearest = torch.maximum(depths.amin(dim=1), _CLIPPED * farthest)
        # Where each end is seen, or where the edge leaves the space before the camera.
        first, second = (_seen_at(start, end, nearest)[:, across], _seen_at(end, start, nearest)[:, across])
        begins, ends = torch.minimum(first, second), torch.maximum(first, second)
        begin, end_line = ((value - 0.5).ceil().clamp(0, num_lines).long() for value in (begins, ends))
        counts = torch.where(is_across & (farthest > 0.0), end_line - begin, 0)
        edge = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        place = torch.arange(len(edge), device=edge.device) - (counts.cumsum(0) - counts)[edge]
    return edge, begin[edge] + place


def _line(start: Tensor, end: Tensor) -> Tensor:
    """Twice the cross product (E, 3) of two points: the line through them, as a function of (u, v, 1)."""
    return torch.linalg.cross(start + end, end - start)


def _seen_at(end: Tensor, other: Tensor, nearest: Tensor) -> Tensor:
    """Pixel coordinates (E, 2) of an end, moved towards the other end to depth `nearest` where it is less deep."""
    lacking = (nearest - end[:, 2]).clamp(min=0.0) / (other[:, 2] - end[:, 2]).abs().clamp(min=1e-30)
    moved = torch.lerp(end, other, lacking[:, None])
    return moved[:, :2] / moved[:, 2:]


def _crossing(start: Tensor, end: Tensor, line: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Where edges cross lines of pixel centres: the end's share in the point, and its pixel coordinate along `axis`."""
    across = 1 - axis
    center = line + 0.5
    start_height, end_height = (point[:, across] - center * point[:, 2] for point in (start, end))
    share = (start_height / (start_height - end_height)).clamp(0.0, 1.0)
    point = torch.lerp(start, end, share[:, None])
    return share, point[:, axis] / point[:, 2]


def _least_of_each(group: Tensor, value: Tensor, is_allowed: Tensor) -> Tensor:
    """Indices of the least allowed value of each group that has any."""
    (index,) = is_allowed.nonzero(as_tuple=True)
    index = index[value[index].argsort(stable=True)]
    ordered, order = group[index].sort(stable=True)
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return index[order[is_first]]


def _blend(pixels: Float[Tensor, "P C"], gaps: _Gaps) -> Float[Tensor, "P C"]:
    is_far_covered = gaps.from_far.detach() < 0.5
    blended = torch.where(is_far_covered, gaps.far, gaps.near)
    other = torch.where(is_far_covered, gaps.near, gaps.far)
    share = (gaps.from_far - 0.5).abs().to(pixels.dtype)
    both = pixels.index_select(0, torch.cat([other, blended]))  # in one: its gradient is as large as the image
    change = both[: len(other)] - both[len(other) :]
    return pixels.index_add(0, blended, share[:, None] * change)
