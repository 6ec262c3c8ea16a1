"""Tables of how a surface passes through a cube, over all cases."""

from __future__ import annotations

import pytest

from framework.geometry.cube_cases import cube_cases, edge_corners, folded_faces, loops_of, segments

CASES = range(256)


def crossed(case: int) -> set[int]:
    return {edge for edge, (a, b) in enumerate(edge_corners()) if (case >> a & 1) != (case >> b & 1)}


def turned(case: int) -> int:
    """The case after a quarter turn of the cube about the x axis: (x, y, z) -> (x, 1 - z, y)."""
    places = [(corner // 4, corner // 2 % 2, corner % 2) for corner in range(8)]
    return sum(1 << (4 * x + 2 * (1 - z) + y) for corner, (x, y, z) in enumerate(places) if case >> corner & 1)


def test_edges_join_corners_that_differ_along_their_axis() -> None:
    assert len(set(edge_corners())) == 12
    for edge, (start, end) in enumerate(edge_corners()):
        assert end - start == (4, 2, 1)[edge // 4]


@pytest.mark.parametrize("variant", [0, 1])
def test_every_crossed_edge_belongs_to_exactly_one_loop(variant: int) -> None:
    tables = cube_cases()
    for case in CASES:
        loops = tables.loop[case, variant].tolist()
        assert {edge for edge, loop in enumerate(loops) if loop >= 0} == crossed(case)
        assert set(loops) - {-1} == set(range(int(tables.num_loops[case, variant])))


def test_neighbouring_edges_of_a_loop_share_a_face() -> None:
    for case in CASES:
        joined = {frozenset(pair) for face in range(6) for pair in segments(case, face, around_inside=True)}
        for loop in loops_of(case):
            assert len(loop) >= 3
            assert all(frozenset((loop[k - 1], loop[k])) in joined for k in range(len(loop)))


def test_known_cases_have_the_right_number_of_loops() -> None:
    opposite_corners_of_a_face, alternating = 1 << 0 | 1 << 3, sum(1 << corner for corner in (0, 3, 5, 6))
    for case, count in ((0, 0), (1, 1), (15, 1), (255, 0), (opposite_corners_of_a_face, 2), (alternating, 4)):
        assert len(loops_of(case)) == count


def test_no_case_is_folded_at_more_than_one_face_and_unfolding_cuts_its_loop_in_two() -> None:
    tables = cube_cases()
    assert any(folded_faces(case) for case in CASES)
    for case in CASES:
        folded = folded_faces(case)
        assert len(folded) <= 1
        extra = int(tables.num_loops[case, 1] - tables.num_loops[case, 0])
        assert extra == len(folded)


def test_turning_the_cube_changes_neither_the_number_of_loops_nor_of_folds() -> None:
    for case in CASES:
        assert len(loops_of(turned(case))) == len(loops_of(case))
        assert len(folded_faces(turned(case))) == len(folded_faces(case))
