"""Signed distances of the solids in Warp: the formulas of `primitives`, which explains them, one point at a time."""

from __future__ import annotations

from typing import no_type_check

import warp as wp

from framework.toybox.primitives import NUM_PARAMETERS

wp.set_module_options({"enable_backward": False})

Parameters = wp.types.vector(length=NUM_PARAMETERS, dtype=wp.float32)


@no_type_check
@wp.func
def length(u: wp.float32, v: wp.float32):
    return wp.sqrt(u * u + v * v)


@no_type_check
@wp.func
def rectangle(u: wp.float32, v: wp.float32, half_u: wp.float32, half_v: wp.float32):
    du = wp.abs(u) - half_u
    dv = wp.abs(v) - half_v
    return length(wp.max(du, 0.0), wp.max(dv, 0.0)) + wp.min(wp.max(du, dv), 0.0)


@no_type_check
@wp.func
def trapezoid(u: wp.float32, v: wp.float32, bottom: wp.float32, top: wp.float32, half_height: wp.float32):
    au = wp.abs(u)
    flat_u = wp.max(au - wp.where(v < 0.0, bottom, top), 0.0)
    flat_v = wp.abs(v) - half_height
    edge_u = top - bottom
    edge_v = 2.0 * half_height
    along = ((au - bottom) * edge_u + (v + half_height) * edge_v) / (edge_u * edge_u + edge_v * edge_v)
    along = wp.clamp(along, 0.0, 1.0)
    slant_u = au - bottom - along * edge_u
    slant_v = v + half_height - along * edge_v
    distance = wp.sqrt(wp.min(flat_u * flat_u + flat_v * flat_v, slant_u * slant_u + slant_v * slant_v))
    return wp.where(slant_u < 0.0 and flat_v < 0.0, -distance, distance)


@no_type_check
@wp.func
def star(u: wp.float32, v: wp.float32, outer: wp.float32, inner: wp.float32):
    sector = 0.4 * wp.pi
    angle = wp.atan2(v, u)
    angle = angle - sector * wp.floor(angle / sector + 0.5)
    radius = length(u, v)
    x = radius * wp.cos(angle) - outer
    y = radius * wp.abs(wp.sin(angle))
    edge_x = inner * wp.cos(0.5 * sector) - outer
    edge_y = inner * wp.sin(0.5 * sector)
    along = wp.clamp((x * edge_x + y * edge_y) / (edge_x * edge_x + edge_y * edge_y), 0.0, 1.0)
    distance = length(x - along * edge_x, y - along * edge_y)
    return wp.where(x * edge_y - y * edge_x < 0.0, -distance, distance)


@no_type_check
@wp.func
def heart(u: wp.float32, v: wp.float32, size: wp.float32):
    x = wp.abs(u) / size
    y = v / size
    if x + y > 1.0:
        return (length(x - 0.25, y - 0.75) - wp.sqrt(0.125)) * size
    along = 0.5 * wp.max(x + y, 0.0)
    distance = wp.min(length(x, y - 1.0), length(x - along, y - along)) * size
    return wp.where(x < y, -distance, distance)


@no_type_check
@wp.func
def extruded(figure: wp.float32, w: wp.float32, half_depth: wp.float32):
    dw = wp.abs(w) - half_depth
    return length(wp.max(figure, 0.0), wp.max(dw, 0.0)) + wp.min(wp.max(figure, dw), 0.0)


@no_type_check
@wp.func
def box(p: wp.vec3, x: wp.float32, y: wp.float32, z: wp.float32):
    q = wp.vec3(wp.abs(p[0]) - x, wp.abs(p[1]) - y, wp.abs(p[2]) - z)
    outside = wp.vec3(wp.max(q[0], 0.0), wp.max(q[1], 0.0), wp.max(q[2], 0.0))
    return wp.length(outside) + wp.min(wp.max(q[0], wp.max(q[1], q[2])), 0.0)


@no_type_check
@wp.func
def round_cone(u: wp.float32, z: wp.float32, bottom: wp.float32, top: wp.float32, half: wp.float32):
    height = wp.max(2.0 * half, 1.0e-9)
    v = z + half
    slope = (bottom - top) / height
    across = wp.sqrt(1.0 - slope * slope)
    along = across * v - slope * u
    if along < 0.0:
        return length(u, v) - bottom
    if along > across * height:
        return length(u, v - height) - top
    return across * u + slope * v - bottom


@no_type_check
@wp.func
def arc(p: wp.vec3, radius: wp.float32, sine: wp.float32, cosine: wp.float32):
    y = wp.abs(p[1])
    reach = length(p[0], y)
    if cosine * y > sine * p[0]:
        reach = cosine * p[0] + sine * y
    return wp.sqrt(wp.max(wp.dot(p, p) + radius * radius - 2.0 * radius * reach, 0.0))


@no_type_check
@wp.func
def pyramid(p: wp.vec3, bottom: wp.float32, top: wp.float32, half: wp.float32):
    x = wp.max(wp.abs(p[0]), wp.abs(p[1]))
    y = wp.min(wp.abs(p[0]), wp.abs(p[1]))
    z = p[2]
    slant = length(bottom - top, 2.0 * half)
    up_x = (top - bottom) / slant
    up_z = 2.0 * half / slant
    out_x = x - 0.5 * (bottom + top)
    along = out_x * up_x + z * up_z
    outward = out_x * up_z - z * up_x
    face = length(wp.max(trapezoid(y, along, bottom, top, 0.5 * slant), 0.0), outward)
    half_flat = wp.where(z < 0.0, bottom, top)
    flat = length(length(wp.max(x - half_flat, 0.0), wp.max(y - half_flat, 0.0)), wp.abs(z) - half)
    distance = wp.min(face, flat)
    return wp.where(outward < 0.0 and wp.abs(z) < half, -distance, distance)


@no_type_check
@wp.func
def bowl(u: wp.float32, v: wp.float32, radius: wp.float32, height: wp.float32):
    rim = wp.sqrt(radius * radius - height * height)
    if height * u < rim * v:
        return length(u - rim, v - height)
    return wp.abs(length(u, v) - radius)


@no_type_check
@wp.func
def dome(u: wp.float32, v: wp.float32, radius: wp.float32, cut: wp.float32):
    rim = wp.sqrt(radius * radius - cut * cut)
    shell = length(u, v) - radius
    distance = length(u - rim, v - cut)
    if cut * u < rim * v:
        distance = wp.abs(shell)
    distance = wp.min(distance, length(wp.max(u - rim, 0.0), v - cut))
    return wp.where(shell < 0.0 and v > cut, -distance, distance)


@no_type_check
@wp.func
def local_distance(kind: wp.int32, p: wp.vec3, n: Parameters):
    """Signed distance of one solid (see `primitives`)."""
    distance = float(0.0)
    u = length(p[0], p[1])
    if kind == 0:
        distance = box(p, n[0], n[1], n[2])
    elif kind == 1:
        distance = trapezoid(u, p[2], n[0], n[1], n[2])
    elif kind == 2:
        distance = round_cone(u, p[2], n[0], n[1], n[2])
    elif kind == 3:
        distance = arc(p, n[0], n[1], n[2])
    elif kind == 4:
        distance = rectangle(u - n[0], p[2], n[1], n[2])
    elif kind == 5:
        distance = extruded(trapezoid(p[0], p[2], n[0], n[1], n[2]), p[1], n[3])
    elif kind == 6:
        distance = pyramid(p, n[0], n[1], n[2])
    elif kind == 7:
        distance = bowl(u, p[2], n[0], n[1])
    elif kind == 8:
        distance = dome(u, p[2], n[0], n[1])
    elif kind == 9:
        distance = extruded(star(p[0], p[1], n[0], n[1]), p[2], n[2])
    else:
        distance = extruded(heart(p[0], p[1], n[0]), p[2], n[1])
    return distance - n[4]
