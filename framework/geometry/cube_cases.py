"""How a surface passes through a cube of a grid, for each choice of corners inside: tables for dual contouring.

The surface cuts the faces of the cube in segments between crossed edges. Following them from face to face gives closed
loops, and every loop gets one vertex of the dual surface (Nielson, "Dual marching cubes", 2004). A face whose inside
corners are opposite is ambiguous; there the segments go around each inside corner, so that these stay apart.

Two segments of one ambiguous face may belong to one loop. If so in both cubes at that face, the dual surface has one
edge where four quads meet. In that case both cubes are `unfolded`: the segments go around the outside corners of that
face, which cuts the loop in two in either cube. No case has more than one such face, so this always decides.

Corner k of a cube lies at (k // 4, k // 2 % 2, k % 2); edge 4 a + 2 u + v runs along axis a, at u and v on the axes
after it; face 2 a + s is perpendicular to axis a, at s.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

Segments = list[tuple[int, int]]
Cycle = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class CubeCases:
    """Tables by case: bit k of a case says that corner k is inside.

    Attributes:
        loop: Which loop each edge belongs to, as usual and unfolded; -1 for an edge that is not crossed.
        num_loops: As usual and unfolded.
        fold: The ambiguous face whose segments belong to one loop; -1 without.
    """

    loop: Int[Tensor, "256 2 12"]
    num_loops: Int[Tensor, "256 2"]
    fold: Int[Tensor, "256"]


@cache
def cube_cases() -> CubeCases:
    """The tables, derived case by case."""
    loop, count, fold = torch.full((256, 2, 12), -1), torch.zeros(256, 2, dtype=torch.int64), torch.full((256,), -1)
    for case in range(256):
        loops = loops_of(case)
        folded = folded_faces(case)
        fold[case] = folded[0] if folded else -1
        for number, edges in enumerate((loops, loops_of(case, unfolded=int(fold[case])))):
            count[case, number] = len(edges)
            for index, members in enumerate(edges):
                loop[case, number, members] = index
    return CubeCases(loop, count, fold)


def corner_of(x: int, y: int, z: int) -> int:
    """The number of the corner at a place in {0, 1}^3."""
    return 4 * x + 2 * y + z


@cache
def edge_corners() -> tuple[tuple[int, int], ...]:
    """The two corners of each of the twelve edges, the one at 0 of its axis first."""
    return tuple(
        (corner_of(*_place(axis, 0, u, v)), corner_of(*_place(axis, 1, u, v)))
        for axis, u, v in itertools.product(range(3), range(2), range(2))
    )


def loops_of(case: int, *, unfolded: int = -1) -> list[list[int]]:
    """The loops of a case as lists of edges; at the face `unfolded`, segments go around outside corners."""
    links: dict[int, list[int]] = {}
    for face in range(6):
        for first, second in segments(case, face, around_inside=face != unfolded):
            links.setdefault(first, []).append(second)
            links.setdefault(second, []).append(first)
    loops: list[list[int]] = []
    while links:
        loop, edge = [], min(links)
        while edge in links:
            loop.append(edge)
            edge = next((other for other in links.pop(edge) if other in links), -1)
        loops.append(loop)
    return loops


def folded_faces(case: int) -> list[int]:
    """The ambiguous faces of a case whose two segments belong to one loop."""
    loop_of = {edge: number for number, loop in enumerate(loops_of(case)) for edge in loop}
    cuts = {face: segments(case, face, around_inside=True) for face in range(6)}
    return [face for face, found in cuts.items() if len(found) == 2 and loop_of[found[0][0]] == loop_of[found[1][0]]]


def segments(case: int, face: int, *, around_inside: bool) -> Segments:
    """Pairs of crossed edges that the surface joins on a face; ambiguous ones around inside or outside corners."""
    cycle = _cycle(face)
    is_inside = [bool(case >> corner & 1) for corner, _ in cycle]
    crossed = [edge for k, (_, edge) in enumerate(cycle) if is_inside[k] != is_inside[(k + 1) % 4]]
    if len(crossed) < 4:
        return [(crossed[0], crossed[1])] if crossed else []
    return [(cycle[k - 1][1], cycle[k][1]) for k in range(4) if is_inside[k] == around_inside]


@cache
def _cycle(face: int) -> Cycle:
    """The corners around a face, each with the edge from it to the next."""
    axis, side = face // 2, face % 2
    corners = [corner_of(*_place(axis, side, u, v)) for u, v in ((0, 0), (1, 0), (1, 1), (0, 1))]
    ends = [tuple(sorted((corners[k], corners[(k + 1) % 4]))) for k in range(4)]
    return [(corner, edge_corners().index(pair)) for corner, pair in zip(corners, ends, strict=True)]


def _place(axis: int, along: int, u: int, v: int) -> tuple[int, int, int]:
    """The place in {0, 1}^3 with `along` on `axis` and u and v on the axes after it."""
    place = [0, 0, 0]
    place[axis], place[(axis + 1) % 3], place[(axis + 2) % 3] = along, u, v
    return place[0], place[1], place[2]
