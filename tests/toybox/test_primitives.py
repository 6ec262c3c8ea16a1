"""Solids: their distances are exact, and they contain what their descriptions say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from framework.toybox.primitives import Kind, local_distance

SOLIDS = {
    Kind.BOX: (0.5, 0.3, 0.4, 0.0, 0.0),
    Kind.FRUSTUM: (0.6, 0.2, 0.4, 0.0, 0.0),
    Kind.ROUND_CONE: (0.4, 0.15, 0.35, 0.0, 0.0),
    Kind.ARC: (0.5, math.sin(2.0), math.cos(2.0), 0.0, 0.15),
    Kind.TUBE: (0.5, 0.1, 0.4, 0.0, 0.0),
    Kind.PRISM: (0.6, 0.2, 0.4, 0.3, 0.0),
    Kind.PYRAMID: (0.6, 0.2, 0.5, 0.0, 0.0),
    Kind.BOWL: (0.6, 0.1, 0.0, 0.0, 0.1),
    Kind.DOME: (0.7, 0.2, 0.0, 0.0, 0.0),
    Kind.STAR: (0.7, 0.3, 0.2, 0.0, 0.0),
    Kind.HEART: (0.6, 0.2, 0.0, 0.0, 0.0),
}
each_kind = pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())


def distance(kind: Kind, points: Tensor, parameters: tuple[float, ...] | None = None) -> Tensor:
    return local_distance(kind, points[None], points.new_tensor([parameters or SOLIDS[kind]]))[0]


def random_points(count: int = 4000) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2.4 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1.2


def contains(kind: Kind, p: Tensor) -> Tensor:
    """Membership from the description of each solid, without distances."""
    a, b, c, d, rounding = SOLIDS[kind]
    x, y, z = p.unbind(dim=-1)
    radius = torch.hypot(x, y)
    middle = 0.5 * (a + b) + 0.5 * (b - a) * z / c if c else None  # half width of a tapered solid at this height
    match kind:
        case Kind.BOX:
            return (x.abs() < a) & (y.abs() < b) & (z.abs() < c)
        case Kind.FRUSTUM:
            return (z.abs() < c) & (radius < middle)
        case Kind.ROUND_CONE:
            t = torch.linspace(-1, 1, 2001, dtype=p.dtype)[:, None]
            return (torch.hypot(radius, z - c * t) < 0.5 * (a + b) + 0.5 * (b - a) * t).any(dim=0)
        case Kind.ARC:
            angle = torch.linspace(-2.0, 2.0, 2001, dtype=p.dtype)[:, None]
            across = torch.hypot(x - a * torch.cos(angle), y - a * torch.sin(angle))
            return (torch.hypot(across, z) < rounding).any(dim=0)
        case Kind.TUBE:
            return ((radius - a).abs() < b) & (z.abs() < c)
        case Kind.PRISM:
            return (x.abs() < middle) & (y.abs() < d) & (z.abs() < c)
        case Kind.PYRAMID:
            return (torch.maximum(x.abs(), y.abs()) < middle) & (z.abs() < c)
        case Kind.BOWL:
            polar = torch.linspace(-0.5 * math.pi, math.asin(b / a), 2001, dtype=p.dtype)[:, None]
            return (torch.hypot(radius - a * torch.cos(polar), z - a * torch.sin(polar)) < rounding).any(dim=0)
        case Kind.DOME:
            return (p.norm(dim=-1) < a) & (z > b)
        case Kind.STAR:
            return in_star(x, y, a, b) & (z.abs() < c)
        case Kind.HEART:
            square = (x.abs() + (y - 0.5 * a).abs()) < 0.5 * a
            lobes = torch.hypot(x.abs() - 0.25 * a, y - 0.75 * a) < math.sqrt(0.125) * a
            return (square | lobes) & (z.abs() < b)


def in_star(x: Tensor, y: Tensor, outer: float, inner: float) -> Tensor:
    """Whether a horizontal ray crosses the ten sides an odd number of times."""
    angles = [k * math.pi / 5 for k in range(10)]
    radii = [outer, inner] * 5
    corners = [(r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True)]
    crossings = torch.zeros_like(x)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 != y2:
            crossings += ((y1 > y) != (y2 > y)) & (x < x1 + (x2 - x1) * (y - y1) / (y2 - y1))
    return crossings % 2 == 1


@each_kind
def test_distance_is_negative_exactly_inside(kind: Kind) -> None:
    points = random_points()
    distances = distance(kind, points)
    clear = distances.abs() > 1e-4
    assert torch.equal((distances < 0)[clear], contains(kind, points)[clear])
    assert (distances < 0).sum() > 30


@each_kind
def test_a_step_of_the_distance_along_its_gradient_ends_on_the_surface(kind: Kind) -> None:
    points = random_points().requires_grad_()
    distances = distance(kind, points)
    (gradient,) = torch.autograd.grad(distances.sum(), points)
    feet = (points - distances[:, None] * gradient).detach()
    torch.testing.assert_close(gradient.norm(dim=-1), torch.ones(len(points), dtype=points.dtype), atol=1e-6, rtol=0)
    # A foot on an edge or a tip is where the formula has its corners, so that it may miss by rounding.
    assert distance(kind, feet).abs().max() < 1e-6


@each_kind
def test_rounding_is_subtracted(kind: Kind) -> None:
    *lengths, rounding = SOLIDS[kind]
    points = random_points(100)
    rounder = distance(kind, points, (*lengths, rounding + 0.05))
    torch.testing.assert_close(rounder, distance(kind, points) - 0.05)


def test_a_round_cone_of_equal_radii_and_no_height_is_a_ball() -> None:
    points = random_points(100)
    torch.testing.assert_close(
        distance(Kind.ROUND_CONE, points, (0.4, 0.4, 0.0, 0.0, 0.0)), points.norm(dim=-1) - 0.4, atol=1e-8, rtol=0
    )


def test_a_full_arc_is_a_torus() -> None:
    points = random_points(100)
    radius = torch.hypot(points[:, 0], points[:, 1])
    ring = distance(Kind.ARC, points, (0.5, math.sin(math.pi), math.cos(math.pi), 0.0, 0.2))
    torch.testing.assert_close(ring, torch.hypot(radius - 0.5, points[:, 2]) - 0.2)
