"""Rasterization in Warp kernels: triangles drawn into a depth buffer, then one item for each pixel; differentiable once.

The depth buffer's entries hold a depth, whose bits sort as the number does, above the triangle's number: the least entry
wins, whatever the order of drawing. On a CPU, each thread draws all triangles into rows of its own. Where pixels are
summed to vertices, the pixels are cut into a number of slices that depends on the sizes alone, each with a sum of its
own, so that results do not depend on the number of threads.

A pixel's point is where its ray meets the triangle's plane. With N the plane's normal, d the ray and E_k the side across
from corner k, from P_{k+2} to P_{k+1}, the derivative in corner j of what depends on depth and shares by g_t and g_k is
    b_j (g_t N - (sum_k g_k E_k) x d) / (N . d):
in proportion to the corner's share, as moving the corner moves the plane's point under the pixel.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from framework.ops.warp.differentiation import refuse_second_derivatives
from framework.ops.warp.launching import array, launch, num_threads

wp.set_module_options({"enable_backward": False, "fuse_fp": False})

_NOTHING = wp.constant(wp.int64(2**63 - 1))
_FACE_BITS = wp.constant(wp.int64(2**32 - 1))
_MARGIN = wp.constant(0.02)
"""By how many pixels a triangle's box is larger than the rounded corners say."""
_WORK_OF_A_FACE = 8
_WORK_WORTH_A_BAND = 1 << 15
_BANDS_ON_CUDA = 16
_MOST_SLICES = 8
_PIXELS_WORTH_A_SLICE = 1 << 14


def rasterize(
    screen: Float[Tensor, "B V 3"], faces: Int[Tensor, "F 3"], height: int, width: int
) -> tuple[Int[Tensor, "B H W"], Float[Tensor, "B H W 3"], Float[Tensor, "B H W"]]:
    """Faces, barycentric coordinates, and depths along the camera's axis, of vertices in pixel coordinates."""
    return _Rasterize.apply(screen.float(), faces.int().contiguous(), height, width)


def interpolate(
    values: Float[Tensor, "V C"], faces: Int[Tensor, "F 3"], face: Int[Tensor, "P"], barycentric: Float[Tensor, "P 3"]
) -> Float[Tensor, "P C"]:
    """See `framework.ops.rasterization.interpolate`; here for P pixels in a row."""
    return _Interpolate.apply(values.float(), faces.int().contiguous(), face.contiguous(), barycentric.float())


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, screen: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        screen, shape = screen.detach().contiguous(), (len(screen), height, width)
        nearest = torch.full(shape, int(_NOTHING), dtype=torch.int64, device=screen.device)
        bands = _num_bands(len(faces) * len(screen), nearest)
        arguments = [array(screen, wp.vec3), faces, bands, nearest]
        launch(_draw, bands * len(screen) * len(faces), arguments, device=screen.device, parts=bands)
        face, barycentric = torch.empty_like(nearest), screen.new_empty(*shape, 3)
        depth = screen.new_empty(shape)
        arguments = [array(screen, wp.vec3), faces, nearest, face, array(barycentric, wp.vec3), depth]
        launch(_locate, nearest.numel(), arguments, device=screen.device)
        ctx.mark_non_differentiable(face)
        ctx.save_for_backward(screen, faces, face, barycentric)
        return face, barycentric, depth

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        refuse_second_derivatives("rasterization")
        screen, faces, face, barycentric = ctx.saved_tensors
        slices, per_slice = _slices(face)
        grad_screen = screen.new_zeros(slices, *screen.shape)
        grad_barycentric, grad_depth = (grad.contiguous() for grad in grads[1:])
        arguments = [per_slice, array(screen, wp.vec3), faces, face, array(barycentric, wp.vec3)]
        arguments += [array(grad_barycentric, wp.vec3), grad_depth, array(grad_screen, wp.vec3)]
        launch(_to_corners, slices * per_slice, arguments, device=screen.device, parts=slices)
        return grad_screen.sum(dim=0), None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, faces: Tensor, face: Tensor, barycentric: Tensor) -> Tensor:
        values, barycentric = values.detach().contiguous(), barycentric.detach().contiguous()
        pixels = values.new_empty(len(face), values.shape[1])
        arguments = [values, faces, face, array(barycentric, wp.vec3), pixels]
        launch(_blend, len(face), arguments, device=values.device)
        ctx.save_for_backward(values, faces, face, barycentric)
        return pixels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, Tensor]:
        refuse_second_derivatives("rasterization")
        values, faces, face, barycentric = ctx.saved_tensors
        slices, per_slice = _slices(face)
        needs_values = ctx.needs_input_grad[0]
        grad_values = values.new_zeros(slices if needs_values else 0, *values.shape)
        grad_barycentric = torch.empty_like(barycentric)
        arguments = [per_slice, values, faces, face, array(barycentric, wp.vec3), grads[0].contiguous()]
        arguments += [grad_values, array(grad_barycentric, wp.vec3)]
        launch(_to_values, slices * per_slice, arguments, device=values.device, parts=slices)
        return grad_values.sum(dim=0) if needs_values else None, None, None, grad_barycentric


def _num_bands(num_triangles: int, image: Tensor) -> int:
    """How many bands of rows the triangles are drawn into apart from one another."""
    if image.is_cuda:
        return _BANDS_ON_CUDA  # one thread alone should not draw a triangle that fills the image
    return min(num_threads(), 1 + (_WORK_OF_A_FACE * num_triangles + image.numel()) // _WORK_WORTH_A_BAND)


def _slices(face: Tensor) -> tuple[int, int]:
    """How many slices the pixels are cut into, and the pixels in each."""
    slices = 1 if face.is_cuda else max(1, min(_MOST_SLICES, face.numel() // _PIXELS_WORTH_A_SLICE))
    return slices, -(-face.numel() // slices)


@no_type_check
@wp.func
def _ray(row: wp.int32, column: wp.int32):
    return wp.vec3(wp.float32(column) + 0.5, wp.float32(row) + 0.5, 1.0)


@no_type_check
@wp.func
def _edge_normal(start: wp.vec3, end: wp.vec3):
    return 0.5 * wp.cross(start + end, end - start)


@no_type_check
@wp.func
def _span(a: wp.float32, b: wp.float32, c: wp.float32, size: wp.int32):
    """The first pixel whose centre lies between three coordinates, and the one after the last."""
    lowest = wp.ceil(wp.clamp(wp.min(wp.min(a, b), c) - 0.5 - _MARGIN, -1.0, wp.float32(size)))
    highest = wp.floor(wp.clamp(wp.max(wp.max(a, b), c) + 0.5 + _MARGIN, -1.0, wp.float32(size)))
    return wp.vec2i(wp.clamp(wp.int32(lowest), 0, size), wp.clamp(wp.int32(highest), 0, size))


@no_type_check
@wp.kernel
def _draw(
    first: wp.int32,
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    bands: wp.int32,
    nearest: wp.array3d(dtype=wp.int64),
):
    """An item is one triangle in one view and one band of rows; those of a band follow one another."""
    item = first + wp.tid()
    face = item % faces.shape[0]
    view = item // faces.shape[0] % screen.shape[0]
    band = item // (faces.shape[0] * screen.shape[0])
    height = nearest.shape[1]
    a = screen[view, faces[face, 0]]
    b = screen[view, faces[face, 1]]
    c = screen[view, faces[face, 2]]
    columns = wp.vec2i(0, nearest.shape[2])
    rows = wp.vec2i(0, height)
    if wp.max(wp.max(a[2], b[2]), c[2]) <= 0.0:
        return
    if wp.min(wp.min(a[2], b[2]), c[2]) > 0.0:  # else it may reach anywhere
        rows = _span(a[1] / a[2], b[1] / b[2], c[1] / c[2], height)
        columns = _span(a[0] / a[2], b[0] / b[2], c[0] / c[2], nearest.shape[2])
    first_row = wp.max(rows[0], height * band // bands)
    last_row = wp.min(rows[1], height * (band + 1) // bands)
    if first_row >= last_row or columns[0] >= columns[1]:
        return
    normal_a = _edge_normal(b, c)
    normal_b = _edge_normal(c, a)
    normal_c = _edge_normal(a, b)
    for row in range(first_row, last_row):
        for column in range(columns[0], columns[1]):
            ray = _ray(row, column)
            e_a = wp.dot(normal_a, ray)
            e_b = wp.dot(normal_b, ray)
            e_c = wp.dot(normal_c, ray)
            if wp.min(wp.min(e_a, e_b), e_c) >= 0.0 or wp.max(wp.max(e_a, e_b), e_c) <= 0.0:
                depth = (e_a * a[2] + e_b * b[2] + e_c * c[2]) / (e_a + e_b + e_c)
                if depth > 0.0:  # not so where all three are zero
                    entry = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | wp.int64(face)
                    wp.atomic_min(nearest, view, row, column, entry)


@no_type_check
@wp.kernel
def _locate(
    first: wp.int32,
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
    face: wp.array3d(dtype=wp.int64),
    barycentric: wp.array3d(dtype=wp.vec3),
    depth: wp.array3d(dtype=wp.float32),
):
    pixel = first + wp.tid()
    column = pixel % nearest.shape[2]
    row = pixel // nearest.shape[2] % nearest.shape[1]
    view = pixel // (nearest.shape[2] * nearest.shape[1])
    entry = nearest[view, row, column]
    seen = wp.int64(-1)
    shares = wp.vec3(0.0, 0.0, 0.0)
    along_axis = wp.float32(0.0)
    if entry != _NOTHING:
        seen = entry & _FACE_BITS
        a = screen[view, faces[wp.int32(seen), 0]]
        b = screen[view, faces[wp.int32(seen), 1]]
        c = screen[view, faces[wp.int32(seen), 2]]
        ray = _ray(row, column)
        e_a = wp.dot(_edge_normal(b, c), ray)
        e_b = wp.dot(_edge_normal(c, a), ray)
        e_c = wp.dot(_edge_normal(a, b), ray)
        shares = wp.vec3(e_a, e_b, e_c) / (e_a + e_b + e_c)
        along_axis = shares[0] * a[2] + shares[1] * b[2] + shares[2] * c[2]
    face[view, row, column] = seen
    barycentric[view, row, column] = shares
    depth[view, row, column] = along_axis


@no_type_check
@wp.kernel
def _to_corners(
    first: wp.int32,
    per_slice: wp.int32,
    screen: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    face: wp.array3d(dtype=wp.int64),
    barycentric: wp.array3d(dtype=wp.vec3),
    grad_barycentric: wp.array3d(dtype=wp.vec3),
    grad_depth: wp.array3d(dtype=wp.float32),
    grad_screen: wp.array3d(dtype=wp.vec3),
):
    pixel = first + wp.tid()
    column = pixel % face.shape[2]
    row = pixel // face.shape[2] % face.shape[1]
    view = pixel // (face.shape[2] * face.shape[1])
    if view >= face.shape[0]:
        return  # the last slice is filled up
    seen = wp.int32(face[view, row, column])
    if seen < 0:
        return
    a = screen[view, faces[seen, 0]]
    b = screen[view, faces[seen, 1]]
    c = screen[view, faces[seen, 2]]
    ray = _ray(row, column)
    grad = grad_barycentric[view, row, column]
    sides = grad[0] * (b - c) + grad[1] * (c - a) + grad[2] * (a - b)
    normal = wp.cross(b - a, c - a)
    moved = (grad_depth[view, row, column] * normal - wp.cross(sides, ray)) / wp.dot(normal, ray)
    for corner in range(3):
        share = barycentric[view, row, column][corner]
        wp.atomic_add(grad_screen, pixel // per_slice, view, faces[seen, corner], share * moved)


@no_type_check
@wp.kernel
def _blend(
    first: wp.int32,
    values: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int32),
    face: wp.array(dtype=wp.int64),
    barycentric: wp.array(dtype=wp.vec3),
    pixels: wp.array2d(dtype=wp.float32),
):
    pixel = first + wp.tid()
    seen = wp.int32(face[pixel])
    for channel in range(values.shape[1]):
        blended = wp.float32(0.0)
        if seen >= 0:
            for corner in range(3):
                blended += barycentric[pixel][corner] * values[faces[seen, corner], channel]
        pixels[pixel, channel] = blended


@no_type_check
@wp.kernel
def _to_values(
    first: wp.int32,
    per_slice: wp.int32,
    values: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int32),
    face: wp.array(dtype=wp.int64),
    barycentric: wp.array(dtype=wp.vec3),
    grad_pixels: wp.array2d(dtype=wp.float32),
    grad_values: wp.array3d(dtype=wp.float32),
    grad_barycentric: wp.array(dtype=wp.vec3),
):
    pixel = first + wp.tid()
    if pixel >= face.shape[0]:
        return  # the last slice is filled up
    seen = wp.int32(face[pixel])
    grad = wp.vec3(0.0, 0.0, 0.0)
    if seen >= 0:
        for corner in range(3):
            vertex = faces[seen, corner]
            share = barycentric[pixel][corner]
            for channel in range(values.shape[1]):
                grad[corner] += grad_pixels[pixel, channel] * values[vertex, channel]
                if grad_values.shape[0] > 0:
                    wp.atomic_add(grad_values, pixel // per_slice, vertex, channel, share * grad_pixels[pixel, channel])
    grad_barycentric[pixel] = grad
