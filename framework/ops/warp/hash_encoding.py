"""Hash encoding in Warp kernels, differentiable once.

An item is one block of consecutive points on one group of levels. Going through a block level by level keeps the
entries of one level in the CPU's cache. The table's gradient is cut by groups of levels, whose entries do not overlap,
so that no two threads add to the same entry, and each adds in the order of the points; the positions' gradient is
summed over the groups.
"""

from __future__ import annotations

from functools import cache
from typing import Any, no_type_check

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor

from framework.ops.hash_encoding import PRIMES, HashGridLayout
from framework.ops.warp.differentiation import refuse_second_derivatives
from framework.ops.warp.launching import array, launch

wp.set_module_options({"enable_backward": False})

_POINTS_PER_BLOCK = 1024
_GROUPS = 8
"""Groups of levels on a CPU: enough for as many threads, and for fewer a fair share of cheap and dear levels."""

_PRIME_Y = wp.constant(wp.uint32(PRIMES[1]))
_PRIME_Z = wp.constant(wp.uint32(PRIMES[2]))
_ONE = wp.constant(wp.uint32(1))
_POSITIVE = wp.constant(wp.uint32(0x7FFFFFFF))
_Rows = wp.types.vector(length=8, dtype=wp.uint32)
_Shares = wp.types.vector(length=8, dtype=wp.float32)


def hash_encoding(
    positions: Float[Tensor, "N 3"], table: Float[Tensor, "entries F"], layout: HashGridLayout
) -> Float[Tensor, "N D"]:
    """See `framework.ops.hash_encoding.hash_encoding`."""
    return _HashEncoding.apply(positions.float(), table.float(), layout)


class _HashEncoding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, table: Tensor, layout: HashGridLayout) -> Tensor:
        positions, table = positions.detach().contiguous(), table.detach().contiguous()
        ctx.save_for_backward(positions, table)
        ctx.layout = layout
        features = positions.new_empty(len(positions), layout.num_levels, layout.features_per_level)
        groups = layout.num_levels if positions.is_cuda else 1
        _run(_encode, positions, table, features, layout, groups=groups)
        return features.flatten(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        refuse_second_derivatives("hash-encoding")
        positions, table = ctx.saved_tensors
        layout = ctx.layout
        grad = grads[0].float().contiguous().unflatten(1, (layout.num_levels, layout.features_per_level))
        needs_positions, needs_table = ctx.needs_input_grad[:2]
        groups = _groups(positions.device, layout, needs_positions)
        grad_table = torch.zeros_like(table) if needs_table else table.new_empty(0, table.shape[1])
        grad_positions = positions.new_zeros(groups if needs_positions else 0, *positions.shape)
        _run(_gradients, positions, table, grad, layout, grad_table, grad_positions, groups=groups)
        return grad_positions.sum(dim=0) if needs_positions else None, grad_table if needs_table else None, None


def _groups(device: torch.device, layout: HashGridLayout, needs_positions: bool) -> int:
    """How many groups of levels share the work of a backward pass; each needs memory for the positions' gradient."""
    if device.type == "cuda":
        return 1 if needs_positions else layout.num_levels
    # Not by the number of threads, on which the order of the sum over groups would depend.
    return min(_GROUPS, layout.num_levels)


def _run(
    kernel: Any,
    positions: Tensor,
    table: Tensor,
    features: Tensor,
    layout: HashGridLayout,
    *gradients: Tensor,
    groups: int,
) -> None:
    """Launch `kernel` over all blocks of points, for `groups` groups of levels; on CUDA a block is a single point."""
    device = positions.device
    per_block = 1 if device.type == "cuda" else _POINTS_PER_BLOCK
    num_blocks = -(-len(positions) // per_block)
    entry = wp.types.vector(length=layout.features_per_level, dtype=wp.float32)
    arguments = [num_blocks, groups, per_block, *_levels(layout, device), array(positions, wp.vec3)]
    arguments += [array(table, entry), array(features, entry)]
    arguments += [array(tensor, kind) for tensor, kind in zip(gradients, (entry, wp.vec3), strict=False)]
    parts = groups if groups > 1 else None
    work = layout.num_levels * per_block
    launch(_kernels(entry)[kernel], num_blocks * groups, arguments, device=device, parts=parts, work_per_item=work)


@cache
def _levels(layout: HashGridLayout, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Scales; grid points a side, or 0 where a level is hashed; and offsets of the levels, for the kernels."""
    sides = [side if layout.is_dense(level) else 0 for level, side in enumerate(layout.resolutions)]
    return (
        torch.tensor(layout.scales, dtype=torch.float32, device=device),
        torch.tensor(sides, dtype=torch.int32, device=device),
        torch.tensor(layout.offsets, dtype=torch.int32, device=device),
    )


@cache
def _kernels(entry: Any) -> dict[Any, Any]:
    """The kernels for table entries of this vector type, all at once, so that Warp compiles their module only once."""
    types: dict[str, Any] = {"table": wp.array(dtype=entry), "features": wp.array2d(dtype=entry)}
    with_gradient = {**types, "grad_table": wp.array(dtype=entry)}
    return {_encode: wp.overload(_encode, types), _gradients: wp.overload(_gradients, with_gradient)}


@no_type_check
@wp.func
def _wrapped(row: wp.uint32, size: wp.uint32):
    if row >= size:
        row = row % size
    return row


@no_type_check
@wp.func
def _corner_rows(cell: wp.vec3, side: wp.uint32, offset: wp.uint32, size: wp.uint32):
    """Table rows of the eight corners of a cell, x changing fastest."""
    x = wp.uint32(wp.int32(cell[0]))
    y = wp.uint32(wp.int32(cell[1]))
    z = wp.uint32(wp.int32(cell[2]))
    rows = _Rows()
    if side > wp.uint32(0):
        a = x + side * (y + side * z)
        b = a + side
        c = a + side * side
        d = c + side
        rows = _Rows(a, a + _ONE, b, b + _ONE, c, c + _ONE, d, d + _ONE)
        if a > d or d + _ONE >= size:  # only on the upper border of the cube, and outside
            for corner in range(8):
                rows[corner] = _wrapped(rows[corner], size)
    else:
        x_next = x + _ONE
        y_near = y * _PRIME_Y
        z_near = z * _PRIME_Z
        y_far = y_near + _PRIME_Y
        z_far = z_near + _PRIME_Z
        mask = size - _ONE  # the size of a hashed level is a power of two
        a = y_near ^ z_near
        b = y_far ^ z_near
        c = y_near ^ z_far
        d = y_far ^ z_far
        rows = _Rows(x ^ a, x_next ^ a, x ^ b, x_next ^ b, x ^ c, x_next ^ c, x ^ d, x_next ^ d)
        for corner in range(8):
            rows[corner] = rows[corner] & mask
    for corner in range(8):
        # The mask changes nothing; it lets the compiler drop Warp's treatment of negative indices.
        rows[corner] = (rows[corner] + offset) & _POSITIVE
    return rows


@no_type_check
@wp.func
def _corner_shares(fraction: wp.vec3):
    """Trilinear weights of the eight corners of a cell, x changing fastest."""
    u = fraction[0]
    v = fraction[1]
    w = fraction[2]
    a = (1.0 - v) * (1.0 - w)
    b = v * (1.0 - w)
    c = (1.0 - v) * w
    d = v * w
    t = 1.0 - u
    return _Shares(t * a, u * a, t * b, u * b, t * c, u * c, t * d, u * d)


@no_type_check
@wp.func
def _share_gradient(fraction: wp.vec3, s: _Shares):
    """Gradient in the fraction of the sum of the corners' values `s`, weighted by their shares."""
    u = fraction[0]
    v = fraction[1]
    w = fraction[2]
    along_x = (1.0 - w) * ((1.0 - v) * (s[1] - s[0]) + v * (s[3] - s[2])) + w * (
        (1.0 - v) * (s[5] - s[4]) + v * (s[7] - s[6])
    )
    along_y = (1.0 - w) * ((1.0 - u) * (s[2] - s[0]) + u * (s[3] - s[1])) + w * (
        (1.0 - u) * (s[6] - s[4]) + u * (s[7] - s[5])
    )
    along_z = (1.0 - v) * ((1.0 - u) * (s[4] - s[0]) + u * (s[5] - s[1])) + v * (
        (1.0 - u) * (s[6] - s[2]) + u * (s[7] - s[3])
    )
    return wp.vec3(along_x, along_y, along_z)


@no_type_check
@wp.func
def _floor(point: wp.vec3):
    return wp.vec3(wp.floor(point[0]), wp.floor(point[1]), wp.floor(point[2]))


@no_type_check
@wp.kernel
def _encode(
    first: wp.int32,
    num_blocks: wp.int32,
    num_groups: wp.int32,
    points_per_block: wp.int32,
    scales: wp.array(dtype=wp.float32),
    sides: wp.array(dtype=wp.int32),
    offsets: wp.array(dtype=wp.int32),
    positions: wp.array(dtype=wp.vec3),
    table: wp.array(dtype=Any),
    features: wp.array2d(dtype=Any),
):
    item = first + wp.tid()
    group = item // num_blocks
    start = (item - group * num_blocks) * points_per_block
    for level in range(group, scales.shape[0], num_groups):
        scale = scales[level]
        side = wp.uint32(sides[level])
        offset = wp.uint32(offsets[level])
        size = wp.uint32(offsets[level + 1]) - offset
        for point in range(start, wp.min(start + points_per_block, positions.shape[0])):
            located = positions[point] * scale + wp.vec3(0.5, 0.5, 0.5)
            cell = _floor(located)
            rows = _corner_rows(cell, side, offset, size)
            shares = _corner_shares(located - cell)
            total = shares[0] * table[wp.int32(rows[0])]
            for corner in range(1, 8):
                total += shares[corner] * table[wp.int32(rows[corner])]
            features[point, level] = total


@no_type_check
@wp.kernel
def _gradients(
    first: wp.int32,
    num_blocks: wp.int32,
    num_groups: wp.int32,
    points_per_block: wp.int32,
    scales: wp.array(dtype=wp.float32),
    sides: wp.array(dtype=wp.int32),
    offsets: wp.array(dtype=wp.int32),
    positions: wp.array(dtype=wp.vec3),
    table: wp.array(dtype=Any),
    features: wp.array2d(dtype=Any),
    grad_table: wp.array(dtype=Any),
    grad_positions: wp.array2d(dtype=wp.vec3),
):
    """Add what the gradient `features` means for table and positions, each unless its gradient is empty.

    Every group of levels has its own row of `grad_positions`.
    """
    item = first + wp.tid()
    group = item // num_blocks
    start = (item - group * num_blocks) * points_per_block
    for level in range(group, scales.shape[0], num_groups):
        scale = scales[level]
        side = wp.uint32(sides[level])
        offset = wp.uint32(offsets[level])
        size = wp.uint32(offsets[level + 1]) - offset
        for point in range(start, wp.min(start + points_per_block, positions.shape[0])):
            located = positions[point] * scale + wp.vec3(0.5, 0.5, 0.5)
            cell = _floor(located)
            rows = _corner_rows(cell, side, offset, size)
            grad = features[point, level]
            if grad_table.shape[0] > 0:
                shares = _corner_shares(located - cell)
                for corner in range(8):
                    wp.atomic_add(grad_table, wp.int32(rows[corner]), shares[corner] * grad)
            if grad_positions.shape[0] > 0:
                values = _Shares()
                for corner in range(8):
                    values[corner] = wp.dot(table[wp.int32(rows[corner])], grad)
                slope = scale * _share_gradient(located - cell, values)
                grad_positions[group, point] = grad_positions[group, point] + slope
